import type { Profile } from "kindling/contract";
import { z } from "zod";
import { KindeError } from "../errors.ts";
import { mostOrganizations, pathId, userId } from "./ids.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";
import { isTooLarge } from "./request.ts";

/** A user in Kinde's search index: without phone and billing, organizations as codes only, possibly out of date. */
export interface SearchedUser extends Omit<Profile, "phone" | "organizations" | "billing"> {
  organizations: readonly string[];
}

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? null);
const number = z
  .number()
  .nullish()
  .transform((value) => value ?? null);

// Anything else would enter keys and paths.
const entrySchema = z.object({ id: userId });
const userSchema = entrySchema.extend({
  provided_id: text,
  email: text,
  username: text,
  first_name: text,
  last_name: text,
  picture: text,
  is_suspended: z.boolean().nullish(),
  total_sign_ins: number,
  failed_sign_ins: number,
  last_signed_in: text,
  created_on: text,
  organizations: z.array(pathId).max(mostOrganizations).nullish(),
  identities: z.array(z.object({ type: z.string(), identity: z.string().nullish() })).nullish(),
  properties: z.record(z.string(), z.string().nullish()).nullish(),
});
const pageSchema = z.object({ results: z.array(z.unknown()).max(500) });

/** Identifies one page of the search. */
export interface SearchPage {
  /** Id of the last user of the previous page; `null` for the first page. */
  after: string | null;
  /** At most 500. */
  pageSize: number;
}

/** One page of search results. */
export interface SearchedPage {
  users: SearchedUser[];
  /** Ids of users whose entries are malformed. They can be fetched individually; entries without a valid id are skipped. */
  unreadable: string[];
  /** `after` of the next page; `null` if this page is empty. A short page is not the last: Kinde can return fewer users. */
  next: string | null;
  /** Calls that the page took. */
  calls: number;
}

/** A page with more malformed entries than this is rejected as a whole. */
const mostUnreadable = 10;

/**
 * Fetches one page of all users with their properties: one call for `pageSize` users instead of two calls per user. While
 * the answer is too large, it asks for half as many users. One who is too large alone is returned as unreadable.
 *
 * @throws {ThrottledError} as {@link ManagementApi.get}
 * @throws {KindeError} as {@link ManagementApi.get}
 */
export async function searchUsers(
  api: ManagementApi,
  { after, pageSize }: SearchPage,
  options: CallOptions,
): Promise<SearchedPage> {
  for (let calls = 1, size = pageSize; ; calls += 1, size = Math.floor(size / 2)) {
    // Of a user who is too large alone, the id leads on to the users after this one.
    const idsOnly = size === 0;
    try {
      return { ...(await searchPage(api, { after, pageSize: Math.max(1, size), idsOnly }, options)), calls };
    } catch (error) {
      if (idsOnly || !isTooLarge(error)) throw error;
    }
  }
}

async function searchPage(
  api: ManagementApi,
  { after, pageSize, idsOnly }: SearchPage & { idsOnly: boolean },
  options: CallOptions,
): Promise<Omit<SearchedPage, "calls">> {
  const expand = idsOnly ? "" : "&expand=properties,organizations,identities";
  const cursor = after === null ? "" : `&starting_after=${encodeURIComponent(after)}`;
  const { results } = await api.get(
    {
      path: `/api/v1/search/users?query=*&page_size=${pageSize}${expand}${cursor}`,
      route: "GET /api/v1/search/users",
      scope: "read:users",
      answer: pageSchema,
      long: true,
    },
    options,
  );
  const users = results.map((entry) => (idsOnly ? undefined : readUser(entry)));
  const ids = results.map((entry, index) => users[index]?.id ?? entrySchema.safeParse(entry).data?.id);
  const unreadable = ids.flatMap((id, index) => (users[index] === undefined && id !== undefined ? id : []));
  if (users.filter((user) => user === undefined).length > mostUnreadable) throw malformed();
  const last = ids.findLast((id) => id !== undefined) ?? null;
  if (results.length > 0 && last === null) throw malformed();
  if (last !== null && last === after) {
    throw new KindeError("kinde_unavailable", "GET /api/v1/search/users returned the same page twice.");
  }
  return {
    users: users.flatMap((user) => user ?? []),
    unreadable,
    next: last,
  };
}

/** Users that {@link listUsersById} asks for in one call: their ids go into the URL. */
export const mostListedById = 100;

const listedSchema = z.object({ users: z.array(z.unknown()).max(mostListedById).nullish() });

/**
 * Fetches users by id from Kinde's list of users: one call for up to {@link mostListedById}. The list has no properties, so
 * these are empty. Users that Kinde does not list, and those whose entries are malformed, are omitted.
 *
 * @throws {ThrottledError} as {@link ManagementApi.get}
 * @throws {KindeError} as {@link ManagementApi.get}
 */
export async function listUsersById(
  api: ManagementApi,
  userIds: readonly string[],
  options: CallOptions,
): Promise<SearchedUser[]> {
  const ids = encodeURIComponent(userIds.join(","));
  const { users } = await api.get(
    {
      path: `/api/v1/users?user_id=${ids}&page_size=${mostListedById}&expand=organizations,identities`,
      route: "GET /api/v1/users",
      scope: "read:users",
      answer: listedSchema,
      long: true,
    },
    options,
  );
  return (users ?? []).flatMap((entry) => readUser(entry) ?? []);
}

function malformed(): KindeError {
  return new KindeError("kinde_unavailable", "The answer to GET /api/v1/search/users is malformed.");
}

/** Returns `undefined` if the entry is malformed. */
function readUser(entry: unknown): SearchedUser | undefined {
  const user = userSchema.safeParse(entry).data;
  if (user === undefined) return undefined;
  return {
    id: user.id,
    providedId: user.provided_id,
    email: user.email,
    username: user.username,
    firstName: user.first_name,
    lastName: user.last_name,
    picture: user.picture,
    isSuspended: user.is_suspended ?? false,
    totalSignIns: user.total_sign_ins,
    failedSignIns: user.failed_sign_ins,
    lastSignedIn: user.last_signed_in,
    createdOn: user.created_on,
    organizations: user.organizations ?? [],
    identities: (user.identities ?? []).map(({ type, identity }) => (identity ? { type, identity } : { type })),
    properties: Object.fromEntries(Object.entries(user.properties ?? {}).map(([key, value]) => [key, value ?? null])),
  };
}
