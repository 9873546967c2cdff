import { setMaxListeners } from "node:events";
import type { Agreement, ExtraPart, Grant, Membership, Profile } from "kindling/contract";
import { z } from "zod";
import { KindeError } from "../errors.ts";
import { asOutage, listAnswer, mustExist, parseInstant } from "./answers.ts";
import { fewAtOnce } from "./few-at-once.ts";
import { mostOrganizations, pathId, queryId } from "./ids.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";
import { follow, type Trail } from "./paging.ts";
import { followSignal } from "./request.ts";

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? null);
const number = z
  .union([z.number(), z.string().transform(Number)])
  .nullish()
  .transform((value) => value ?? null);
// Kinde's API description marks nearly every field optional, so an entry without its key is dropped, not an error.
const listOf = <T>(item: z.ZodType<T>) =>
  z
    .array(z.unknown())
    .nullish()
    .transform((list) => (list ?? []).flatMap((entry) => item.safeParse(entry).data ?? []));

/** Pages of one user's agreements. */
const mostAgreementPages = 20;

const userSchema = z.object({
  id: z.string(),
  provided_id: text,
  preferred_email: text,
  phone: text,
  username: text,
  first_name: text,
  last_name: text,
  picture: text,
  is_suspended: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
  total_sign_ins: number,
  failed_sign_ins: number,
  last_signed_in: text,
  created_on: text,
  // Not `listOf`: dropping a membership would silently take its permissions away.
  organizations: z
    .array(pathId)
    .max(mostOrganizations)
    .nullish()
    .transform((codes) => [...new Set(codes)]),
  identities: listOf(z.object({ type: z.string(), identity: z.string().nullish() })),
  billing: z.object({ customer_id: queryId.nullish().transform((value) => value ?? null) }).nullish(),
});

const nextToken = z.string().nullish();
const propertiesSchema = z.object({
  properties: z.array(z.object({ key: z.string(), value: z.string().nullish() })),
  next_token: nextToken,
});

const grantSchema = z.object({ id: z.string(), key: z.string() });
const rolesSchema = listAnswer(["roles"], { roles: listOf(grantSchema), next_token: nextToken });
const permissionsSchema = listAnswer(["permissions"], { permissions: listOf(grantSchema), next_token: nextToken });
const agreementsSchema = listAnswer(["agreements"], {
  agreements: listOf(z.object({ id: z.string(), plan_code: z.string(), expires_on: z.string().nullish() })),
  has_more: z.boolean().nullish(),
});
const listingSchema = z.object({ users: z.array(z.object({ id: z.string() })) });

/** Options for {@link fetchUser}. */
export interface FetchUserOptions extends CallOptions {
  /** Parts to fetch in addition to the two calls that every user costs. */
  parts: ReadonlySet<ExtraPart>;
  /** Decides whether an agreement has expired. Default: `Date.now`. */
  now?: () => number;
  /** Returns what is known of memberships and agreements, so that it is not fetched. */
  keep?: ((account: FetchedAccount) => Partial<KnownExtras>) | undefined;
}

/** What the first two calls tell about the rest. */
export interface FetchedAccount {
  /** Codes of the organizations. */
  organizations: readonly string[];
  customerId: string | null;
}

/** The parts of a profile that take further calls. */
export interface KnownExtras {
  organizations: readonly Membership[];
  agreements: readonly Agreement[];
}

/**
 * Fetches one user with the given parts. This takes several calls, so the result is not a snapshot: each value is at
 * least as new as the start of the fetch.
 *
 * @returns `undefined` if the user does not exist in Kinde, or no longer does
 * @throws {ThrottledError} as {@link ManagementApi.get}
 * @throws {KindeError} as {@link ManagementApi.get}
 */
export async function fetchUser(
  api: ManagementApi,
  id: string,
  options: FetchUserOptions,
): Promise<Profile | undefined> {
  // Once one call has failed, the concurrent ones are useless and must stop consuming the budget.
  const { controller, release } = followSignal(options.signal);
  const { signal } = controller;
  // Every call listens to this signal, so a high listener count is not a leak.
  setMaxListeners(0, signal);
  try {
    return await fetchParts(api, id, { ...options, subject: id, signal, controller });
  } catch (error) {
    controller.abort(error);
    throw error;
  } finally {
    release();
  }
}

async function fetchParts(api: ManagementApi, id: string, options: FetchUserOptions): Promise<Profile | undefined> {
  // `allSettled`: only the user's own call decides whether the user exists, whichever call fails first.
  const [user, properties] = await Promise.allSettled([getUser(api, id, options), getProperties(api, id, options)]);
  if (user.status === "rejected") {
    if (await isGone(api, id, user.reason, options)) return undefined;
    throw user.reason;
  }
  if (properties.status === "rejected") {
    throw isNotFound(properties.reason)
      ? new KindeError(
          "kinde_unavailable",
          "Kinde has the user but not their properties: the user was probably deleted between the two calls.",
          { cause: properties.reason },
        )
      : properties.reason;
  }
  const found = user.value;
  // Waits longer for the remaining calls: if a user with many organizations started over each time, it might never finish.
  const rest = { ...options, patienceMs: restPatienceMs };
  const customerId = found.billing?.customer_id ?? null;
  const known = options.keep?.({ organizations: found.organizations, customerId }) ?? {};
  const [organizations, agreements] = await Promise.all([
    known.organizations ?? getMemberships(api, id, found.organizations, rest),
    known.agreements ?? getAgreements(api, customerId, rest),
  ]);
  return {
    id,
    providedId: found.provided_id,
    email: found.preferred_email,
    phone: found.phone,
    username: found.username,
    firstName: found.first_name,
    lastName: found.last_name,
    picture: found.picture,
    isSuspended: found.is_suspended,
    totalSignIns: found.total_sign_ins,
    failedSignIns: found.failed_sign_ins,
    lastSignedIn: found.last_signed_in,
    createdOn: found.created_on,
    properties: properties.value,
    organizations,
    identities: found.identities.map(({ type, identity }) => (identity ? { type, identity } : { type })),
    billing: { customerId, agreements },
  };
}

/** How long the calls after the first two wait for the call budget, in milliseconds. */
const restPatienceMs = 30_000;

const oneUser = (id: string, query = "") => ({
  path: `/api/v1/user?id=${encodeURIComponent(id)}${query}`,
  route: "GET /api/v1/user",
  scope: "read:users",
});

/** Returns whether Kinde finds a user, in one call. Throws as {@link fetchUser}. */
export async function userExists(api: ManagementApi, id: string, options: CallOptions): Promise<boolean> {
  try {
    const call = { ...oneUser(id), answer: z.object({ id: z.string() }) };
    return (await api.get(call, { ...options, subject: id })).id === id;
  } catch (error) {
    if (error instanceof KindeError && (error.status === 404 || error.status === 400)) return false;
    throw error;
  }
}

async function getUser(api: ManagementApi, id: string, options: CallOptions) {
  const call = { ...oneUser(id, "&expand=organizations,identities,billing"), answer: userSchema };
  const user = await api.get(call, options);
  if (user.id !== id) throw new KindeError("kinde_unavailable", "GET /api/v1/user returned a different user.");
  return user;
}

/**
 * Returns whether a failed call means that the user does not exist. Kinde does not document its answer for deleted
 * users: 404 means deleted, and so does 400 if the user list lacks the user too.
 */
async function isGone(api: ManagementApi, id: string, reason: unknown, options: CallOptions): Promise<boolean> {
  if (isNotFound(reason)) return true;
  return reason instanceof KindeError && reason.status === 400 && !(await isListed(api, id, options));
}

/**
 * Returns whether the list of users has a user: a second source of Kinde's, which answers 200 whether or not it does.
 *
 * @throws {KindeError} as {@link ManagementApi.get}, and `kinde_unavailable` for a 404: something else answers for Kinde
 */
export async function isListed(api: ManagementApi, id: string, options: CallOptions): Promise<boolean> {
  const call = {
    path: `/api/v1/users?user_id=${encodeURIComponent(id)}&page_size=1`,
    route: "GET /api/v1/users",
    scope: "read:users",
    answer: listingSchema,
  };
  const { users } = await api.get(call, { ...options, subject: id }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
    throw new KindeError("kinde_unavailable", "GET /api/v1/users answered 404, which Kinde never does.", {
      cause: error,
      status: 404,
    });
  });
  return users.some((user) => user.id === id);
}

/** Fetches the properties of one user, in one call. Throws as {@link ManagementApi.get}. */
export function fetchProperties(api: ManagementApi, id: string, options: CallOptions): Promise<Profile["properties"]> {
  return getProperties(api, id, { ...options, subject: id });
}

async function getProperties(api: ManagementApi, id: string, options: CallOptions): Promise<Profile["properties"]> {
  const page = await api.get(
    {
      path: `/api/v1/users/${encodeURIComponent(id)}/properties`,
      route: "GET /api/v1/users/{id}/properties",
      scope: "read:user_properties",
      answer: propertiesSchema,
    },
    options,
  );
  rejectPart(page, "GET /api/v1/users/{id}/properties");
  return Object.fromEntries(page.properties.map(({ key, value }) => [key, value ?? null]));
}

/** Kinde documents `next_token` here but no way to request the next page. Storing a part of the list would be wrong. */
function rejectPart({ next_token }: { next_token?: string | null | undefined }, route: string): void {
  if (next_token) throw new KindeError("kinde_unavailable", `${route} returned only a first page.`);
}

async function getMemberships(
  api: ManagementApi,
  id: string,
  codes: readonly string[],
  options: FetchUserOptions,
): Promise<Membership[]> {
  const memberships = await fewAtOnce(codes, (code) => getMembership(api, id, code, options));
  return memberships.filter((membership) => membership !== undefined);
}

/** Returns `undefined` if the user has left the organization since the account was fetched. */
async function getMembership(
  api: ManagementApi,
  id: string,
  code: string,
  options: FetchUserOptions,
): Promise<Membership | undefined> {
  const base = `/api/v1/organizations/${encodeURIComponent(code)}/users/${encodeURIComponent(id)}`;
  const grants = async <T extends { next_token?: string | null | undefined }>(
    part: "roles" | "permissions",
    answer: z.ZodType<T>,
    pick: (found: T) => Grant[],
  ) => {
    if (!options.parts.has(part)) return [];
    const route = `GET /api/v1/organizations/{code}/users/{id}/${part}`;
    const scope = `read:organization_user_${part}`;
    try {
      const found = await api.get({ path: `${base}/${part}`, route, scope, answer }, options);
      rejectPart(found, route);
      return pick(found);
    } catch (error) {
      if (error instanceof KindeError && error.status === 400) {
        throw new KindeError("kinde_unavailable", error.message, { cause: error, status: 400 });
      }
      throw error;
    }
  };
  try {
    const [roles, permissions] = await Promise.all([
      grants("roles", rolesSchema, (found) => found.roles),
      grants("permissions", permissionsSchema, (found) => found.permissions),
    ]);
    return { code, roles, permissions };
  } catch (error) {
    if (isNotFound(error) && (await hasLeft(api, id, code, options))) return undefined;
    throw asOutage(error);
  }
}

// A member without grants has empty lists, so a 404 says that the account fetched before is out of date, or is a gateway's.
async function hasLeft(api: ManagementApi, id: string, code: string, options: CallOptions): Promise<boolean> {
  const { organizations } = await mustExist(getUser(api, id, options));
  return !organizations.includes(code);
}

async function getAgreements(
  api: ManagementApi,
  customerId: string | null,
  options: FetchUserOptions,
): Promise<Agreement[]> {
  if (customerId === null || !options.parts.has("billing")) return [];
  const agreements = new Map<string, Agreement>();
  let trail: Trail | undefined;
  let after: string | undefined;
  do {
    const cursor = after === undefined ? "" : `&starting_after=${encodeURIComponent(after)}`;
    const page = await getAgreementsPage(api, `customer_id=${encodeURIComponent(customerId)}${cursor}`, options);
    const active = page.agreements.filter(({ expires_on }) => !isPast(expires_on, options.now ?? Date.now));
    for (const { id, plan_code } of active) agreements.set(id, { id, planCode: plan_code });
    const last = page.agreements.at(-1)?.id;
    // Stops at a page that adds nothing, even if it claims that there are more.
    after = page.has_more && last !== after ? last : undefined;
    if (after !== undefined) trail = follow(trail, after, { route: agreementsRoute, limit: mostAgreementPages });
  } while (after !== undefined);
  return [...agreements.values()];
}

/** Fetches the agreements in effect of one billing customer: one call, or more for a customer with very many. */
export function fetchAgreements(
  api: ManagementApi,
  customerId: string,
  options: Omit<FetchUserOptions, "parts">,
): Promise<Agreement[]> {
  return getAgreements(api, customerId, { ...options, parts: new Set(["billing"]) });
}

const agreementsRoute = "GET /api/v1/billing/agreements";

async function getAgreementsPage(api: ManagementApi, query: string, options: CallOptions) {
  const call = {
    path: `/api/v1/billing/agreements?${query}`,
    route: agreementsRoute,
    scope: "read:billing_agreements",
  };
  return mustExist(api.get({ ...call, answer: agreementsSchema }, options));
}

function isPast(time: string | null | undefined, now: () => number): boolean {
  return Boolean(time) && parseInstant(String(time)) <= now();
}

function isNotFound(error: unknown): boolean {
  return error instanceof KindeError && error.code === "kinde_not_found";
}
