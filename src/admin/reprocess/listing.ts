import { z } from "zod";
import type { CallOptions, ManagementApi } from "../../kinde/management-api.ts";

/** One page of users, and where the next one begins; `null` at the end. */
export interface ListingPage {
  userIds: string[];
  next: string | null;
}

/** Reads one page of a listing; `null` for the first. */
export type Listing = (cursor: string | null, options: CallOptions) => Promise<ListingPage>;

const userSchema = z.object({ id: z.string() });
const usersSchema = z.object({ users: z.array(userSchema).nullish(), next_token: z.string().nullish() });
const membersSchema = z.object({ organization_users: z.array(userSchema).nullish(), next_token: z.string().nullish() });

const query = (cursor: string | null) =>
  `?page_size=500${cursor === null ? "" : `&next_token=${encodeURIComponent(cursor)}`}`;

/** All users. Not the search, whose index may lag behind: an import just made must not be missed. */
export function listEveryone(api: ManagementApi): Listing {
  return async (cursor, options) => {
    const call = { route: "GET /api/v1/users", scope: "read:users", answer: usersSchema };
    const page = await api.get({ ...call, path: `/api/v1/users${query(cursor)}` }, options);
    return { userIds: (page.users ?? []).map(({ id }) => id), next: page.next_token || null };
  };
}

/** The members of one organization. */
export function listMembers(api: ManagementApi, code: string): Listing {
  return async (cursor, options) => {
    const path = `/api/v1/organizations/${encodeURIComponent(code)}/users${query(cursor)}`;
    const route = "GET /api/v1/organizations/{code}/users";
    const call = { path, route, scope: "read:organization_users", answer: membersSchema };
    const page = await api.get(call, options);
    return { userIds: (page.organization_users ?? []).map(({ id }) => id), next: page.next_token || null };
  };
}
