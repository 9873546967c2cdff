import { z } from "zod";
import { KindeError } from "../errors.ts";
import { listAnswer } from "./answers.ts";
import { queryId, userId } from "./ids.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** One page of user ids. */
export interface ListingPage {
  /** At most 500, and only ids that are safe in a key and a path. */
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

/** Finds users by email address. More than one can have it. */
export async function findByEmail(api: ManagementApi, email: string, call: CallOptions): Promise<string[]> {
  const query = `?page_size=${mostWithOneEmail}&email=${encodeURIComponent(email)}`;
  const { users } = await api.get(
    { path: `/api/v1/users${query}`, route: "GET /api/v1/users", scope: "read:users", answer: pageSchema },
    call,
  );
  return (users ?? []).flatMap((entry) => userSchema.safeParse(entry).data?.id ?? []);
}

const mostWithOneEmail = 20;

/** Largest page that Kinde returns. */
const pageSize = 500;

/** A page with more malformed entries than this is rejected as a whole. */
const mostUnreadable = 10;

const users = z.array(z.unknown()).max(pageSize).nullish();
const userSchema = z.object({ id: userId });
const pageSchema = listAnswer(["users", "organization_users"], {
  users,
  organization_users: users,
  next_token: queryId.or(z.literal("")).nullish(),
});

function listing(api: ManagementApi, { path, route, scope }: { path: string; route: string; scope: string }): Listing {
  return async (cursor, options) => {
    const query = `?page_size=${pageSize}${cursor === null ? "" : `&next_token=${encodeURIComponent(cursor)}`}`;
    const page = await api.get({ path: path + query, route, scope, answer: pageSchema, long: true }, options);
    if (page.next_token && page.next_token === cursor) {
      throw new KindeError("kinde_unavailable", `${route} returned the same page twice.`);
    }
    const entries = page.organization_users ?? page.users ?? [];
    const userIds = entries.flatMap((entry) => userSchema.safeParse(entry).data?.id ?? []);
    if (entries.length - userIds.length > mostUnreadable) {
      throw new KindeError("kinde_unavailable", `The answer to ${route} is malformed.`);
    }
    return { userIds, next: page.next_token || null };
  };
}
