import { z } from "zod";
import type { CallOptions, ManagementApi } from "./management-api.ts";
import type { Profile } from "./profile.ts";

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

const pageSchema = z.object({
  results: z.array(
    z.object({
      id: z.string(),
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
    }),
  ),
});

/** Which page of all users. */
export interface SearchPage {
  /** Id of the last user of the page before; `null` for the first page. */
  after: string | null;
  /** 500 at most. */
  pageSize: number;
}

/**
 * One page of all users, properties included: `pageSize` users a call instead of two calls a user. A page shorter than
 * `pageSize` is the last.
 */
export async function searchUsers(
  api: ManagementApi,
  { after, pageSize }: SearchPage,
  options: CallOptions,
): Promise<SearchedUser[]> {
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
  return results.map((user) => ({
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
  }));
}
