import type { Profile } from "kindling/contract";
import { z } from "zod";
import { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** A user as Kinde's search index shows it: no phone, no billing, organizations by code alone; perhaps a little old. */
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

const entrySchema = z.object({ id: z.string() });
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
  organizations: z.array(z.string()).nullish(),
  identities: z.array(z.object({ type: z.string(), identity: z.string().nullish() })).nullish(),
  properties: z.record(z.string(), z.string().nullish()).nullish(),
});
const pageSchema = z.object({ results: z.array(z.unknown()) });

/** Which page of all users. */
export interface SearchPage {
  /** Id of the last user of the page before; `null` for the first page. */
  after: string | null;
  /** 500 at most. */
  pageSize: number;
}

/** A page of the search. */
export interface SearchedPage {
  users: SearchedUser[];
  /** Ids of users whose entry makes no sense; their own call may tell more. */
  unreadable: string[];
  /** Where the next page begins; `null` after the last. */
  next: string | null;
}

/** A page with more entries that make no sense is one that we do not understand. */
const mostUnreadable = 10;

/**
 * One page of all users, properties included: `pageSize` users a call instead of two calls a user.
 *
 * @throws {ThrottledError} {KindeError} as the Management API does
 */
export async function searchUsers(
  api: ManagementApi,
  { after, pageSize }: SearchPage,
  options: CallOptions,
): Promise<SearchedPage> {
  const cursor = after === null ? "" : `&starting_after=${encodeURIComponent(after)}`;
  const { results } = await api.get(
    {
      path: `/api/v1/search/users?query=*&page_size=${pageSize}&expand=properties,organizations,identities${cursor}`,
      route: "GET /api/v1/search/users",
      scope: "read:users",
      answer: pageSchema,
    },
    options,
  );
  const users = results.map((entry) => userSchema.safeParse(entry).data);
  const unreadable = results.flatMap((entry, index) => (users[index] === undefined ? idOf(entry) : []));
  if (unreadable.length > mostUnreadable) throw nonsense();
  const last = results.length === 0 ? null : idOf(results.at(-1));
  if (last !== null && last === after) {
    throw new KindeError("kinde_unavailable", "Kinde's search answers the page before once more.");
  }
  return {
    users: users.flatMap((user) => (user === undefined ? [] : toSearchedUser(user))),
    unreadable,
    next: results.length < pageSize ? null : last,
  };
}

function idOf(entry: unknown): string {
  const { data } = entrySchema.safeParse(entry);
  if (data === undefined) throw nonsense();
  return data.id;
}

function nonsense(): KindeError {
  return new KindeError("kinde_unavailable", "Kinde's answer to GET /api/v1/search/users makes no sense.");
}

function toSearchedUser(user: z.infer<typeof userSchema>): SearchedUser {
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
