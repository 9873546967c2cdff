import { z } from "zod";
import { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** One page of user ids. */
export interface ListingPage {
  userIds: string[];
  /** Cursor of the next page; `null` after the last. */
  next: string | null;
}

/** Reads one page of up to 500 users. The cursor of the first page is `null`. */
export type Listing = (cursor: string | null, options: CallOptions) => Promise<ListingPage>;

/** Lists all users. Avoids the search, whose index can lag: a recent import must not be missed. */
export function listEveryone(api: ManagementApi): Listing {
  return listing(api, { path: "/api/v1/users", route: "GET /api/v1/users", scope: "read:users" });
}

/** Lists the members of one organization. */
export function listMembers(api: ManagementApi, code: string): Listing {
  return listing(api, {
    path: `/api/v1/organizations/${encodeURIComponent(code)}/users`,
    route: "GET /api/v1/organizations/{code}/users",
    scope: "read:organization_users",
  });
}

/** Lists the users who hold one role, across all organizations. */
export function listRoleHolders(api: ManagementApi, roleId: string): Listing {
  return listing(api, {
    path: `/api/v1/roles/${encodeURIComponent(roleId)}/users`,
    route: "GET /api/v1/roles/{id}/users",
    scope: "read:organization_user_roles",
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
      throw new KindeError("kinde_unavailable", `${route} returned the same page twice.`);
    }
    const users = page.organization_users ?? page.users ?? [];
    return { userIds: users.map(({ id }) => id), next: page.next_token || null };
  };
}
