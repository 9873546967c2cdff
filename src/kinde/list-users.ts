import { z } from "zod";
import { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** One page of users, and where the next one begins; `null` at the end. */
export interface ListingPage {
  userIds: string[];
  next: string | null;
}

/** Reads one page of 500 users of a listing; `null` for the first. */
export type Listing = (cursor: string | null, options: CallOptions) => Promise<ListingPage>;

/** All users. Not the search, whose index may lag behind: an import just made must not be missed. */
export function listEveryone(api: ManagementApi): Listing {
  return listing(api, { path: "/api/v1/users", route: "GET /api/v1/users", scope: "read:users" });
}

/** The members of one organization. */
export function listMembers(api: ManagementApi, code: string): Listing {
  return listing(api, {
    path: `/api/v1/organizations/${encodeURIComponent(code)}/users`,
    route: "GET /api/v1/organizations/{code}/users",
    scope: "read:organization_users",
  });
}

/** Those who hold one role, over all organizations. */
export function listRoleHolders(api: ManagementApi, roleId: string): Listing {
  return listing(api, {
    path: `/api/v1/roles/${encodeURIComponent(roleId)}/users`,
    route: "GET /api/v1/roles/{id}/users",
    scope: "read:roles",
  });
}

const user = z.object({ id: z.string() });
const pageSchema = z.object({
  users: z.array(user).nullish(),
  organization_users: z.array(user).nullish(),
  next_token: z.string().nullish(),
});

function listing(api: ManagementApi, { path, route, scope }: { path: string; route: string; scope: string }): Listing {
  return async (cursor, options) => {
    const query = `?page_size=500${cursor === null ? "" : `&next_token=${encodeURIComponent(cursor)}`}`;
    const page = await api.get({ path: path + query, route, scope, answer: pageSchema }, options);
    if (page.next_token && page.next_token === cursor) {
      throw new KindeError("kinde_unavailable", `Kinde answers ${route} with the same page again.`);
    }
    const users = page.organization_users ?? page.users ?? [];
    return { userIds: users.map(({ id }) => id), next: page.next_token || null };
  };
}
