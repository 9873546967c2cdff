import type { Grant, Membership, Profile } from "../profile.ts";
import { PartMissing } from "./computed.ts";
import type { Definitions } from "./define-flags.ts";

/**
 * Claims of a user's Kinde access or ID token. The app must have **verified** the token: Kindling believes them.
 * jose's `JWTPayload` fits as it is.
 *
 * The types are loose because a token is external input: Kindling checks each claim at run time and treats one of the
 * wrong shape as absent. Kinde includes `roles` and properties only where the application's token customization says
 * so, and only properties that are not private. Only ID tokens carry `org_codes`: with an access token, a flag that would
 * look at another organization than `org_code` is not known.
 *
 * @see https://docs.kinde.com/build/tokens/about-access-tokens/
 * @see https://docs.kinde.com/build/tokens/about-id-tokens/
 * @see https://docs.kinde.com/build/tokens/token-customization/
 *
 * @example
 * ```ts
 * const { payload } = await jwtVerify(token, jwks, { issuer: "https://acme.kinde.com", algorithms: ["RS256"] });
 * const { flags } = await reader.get(String(payload.sub), { claims: payload });
 * ```
 */
export interface UserClaims {
  /** User id. Claims of another user than the one being read are ignored. */
  readonly sub?: string | undefined;
  /** Time of issue, in seconds since the epoch. */
  readonly iat?: number | undefined;
  /**
   * Code of the organization the user signed in to, a string. `permissions` and `roles` apply to it, and it is the
   * current organization of a read that names none.
   */
  readonly org_code?: unknown;
  /** Codes of all the user's organizations, an array of strings. Without it, none but `org_code` is known. */
  readonly org_codes?: unknown;
  /** Keys of the permissions in `org_code`, an array of strings. */
  readonly permissions?: unknown;
  /** Roles in `org_code`, an array of keys or of objects `{ key: string, id?: string }`. */
  readonly roles?: unknown;
  /** Properties by key, `{ [key]: { v: string | number | boolean | null } }`. */
  readonly user_properties?: unknown;
  /** Properties of `org_code`, in the form of `user_properties`. */
  readonly organization_properties?: unknown;
}

/** Returns the claims if they are the user's. Apps in JavaScript pass `null` for a visitor, and ids that are `undefined`. */
export function claimsOf(userId: string, claims: UserClaims | null | undefined): UserClaims | undefined {
  return typeof claims?.sub === "string" && claims.sub === userId ? claims : undefined;
}

/** Returns the organization the claims were issued for. */
export function organizationOf(claims: UserClaims | undefined): string | undefined {
  const code = claims?.org_code;
  return typeof code === "string" && code !== "" ? code : undefined;
}

/**
 * Derives the flags that the claims alone determine; leaves out the others. Never throws.
 *
 * @param organization The current organization. Claims of another one determine no flag that depends on it
 */
export function deriveFromClaims<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  claims: UserClaims,
  organization?: string,
): Partial<V> {
  const profile = profileOf(claims);
  const foreign = organization !== organizationOf(claims);
  const determined = Object.entries(definitions.flags).flatMap(([name, definition]) => {
    if (foreign && definition.in === "current") return [];
    try {
      return [[name, toPlain(definition.read(profile, organization).value)]];
    } catch {
      // The flag needs a part that the token does not carry.
      return [];
    }
  });
  // Names and values are those of the definitions.
  return Object.fromEntries(determined) as Partial<V>;
}

/** Returns when the claims were issued, in milliseconds since the epoch; `-Infinity` if they do not say. */
export function issuedAt(claims: UserClaims | undefined): number {
  const seconds: unknown = claims?.iat;
  return typeof seconds === "number" && Number.isFinite(seconds) ? seconds * 1000 : Number.NEGATIVE_INFINITY;
}

/** Builds a partial profile that throws on every access to a part the claims do not carry. */
function profileOf(claims: UserClaims): Profile {
  const id: unknown = claims.sub;
  const properties = parseProperties(claims.user_properties);
  const organizations = membershipsOf(claims);
  return partial<Profile>({
    ...(typeof id === "string" ? { id } : {}),
    ...(properties === undefined ? {} : { properties: partial(properties) }),
    ...(organizations === undefined ? {} : { organizations }),
  });
}

// The token's own organization comes first: a grant found there decides before an unknown one throws.
function membershipsOf(claims: UserClaims): readonly Membership[] | undefined {
  const { org_codes, roles, permissions, organization_properties } = claims;
  const own = organizationOf(claims);
  const codes = parseArray(org_codes, parseString);
  const others = codes?.filter((code) => code !== own).map((code) => partial<Membership>({ code })) ?? [];
  if (own === undefined) return others.length === 0 ? undefined : others;
  const ownRoles = parseArray(roles, parseGrant);
  const ownPermissions = parseArray(permissions, parsePermission);
  const ownProperties = parseProperties(organization_properties);
  const membership = partial<Membership>({
    code: own,
    ...(ownRoles === undefined ? {} : { roles: ownRoles }),
    ...(ownPermissions === undefined ? {} : { permissions: ownPermissions }),
    ...(ownProperties === undefined ? {} : { properties: partial(ownProperties) }),
  });
  return codes === undefined ? partialList(membership) : [membership, ...others];
}

/** A malformed property is left out, so it counts as unknown. Only an explicit `null` counts as "not set". */
function parseProperties(value: unknown): Record<string, string | null> | undefined {
  if (!isObject(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, entry]): [string, string | null][] => {
      const v = isObject(entry) ? entry.v : undefined;
      if (v === null) return [[key, null]];
      return typeof v === "string" || typeof v === "boolean" || Number.isFinite(v) ? [[key, String(v)]] : [];
    }),
  );
}

/** All or nothing: an array with one malformed member must not pass for "has none of the others". */
function parseArray<T>(value: unknown, parse: (member: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const parsed = value.map(parse).filter((member) => member !== undefined);
  return parsed.length === value.length ? parsed : undefined;
}

function parseString(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function parsePermission(value: unknown): Grant | undefined {
  return typeof value === "string" ? { id: value, key: value } : undefined;
}

function parseGrant(value: unknown): Grant | undefined {
  if (typeof value === "string") return { id: value, key: value };
  if (!isObject(value) || typeof value.key !== "string") return undefined;
  const { key, id = key } = value;
  return typeof id === "string" ? { id, key } : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns the value as a record would hold it. Throws if it contains a partial object, whose parts are not all known. */
function toPlain(value: unknown): unknown {
  const json = JSON.stringify(value);
  return typeof value === "object" && value !== null ? JSON.parse(json) : value;
}

/** Returns a list of which only the first member is known. Throws {@link PartMissing} for its length and beyond that member. */
function partialList<T>(first: T): readonly T[] {
  const unknown = (): never => {
    throw new PartMissing("organizations");
  };
  const list = Object.defineProperty([first], 1, { enumerable: true, get: unknown });
  return new Proxy(list, {
    get(target, key) {
      if (key === "length") unknown();
      const value: unknown = Reflect.get(target, key);
      // Bound, so that `some` and `find` can end at the first member: they ask for the length at once.
      return typeof value === "function" ? value.bind(target) : value;
    },
    has: unknown,
    getOwnPropertyDescriptor: unknown,
    ownKeys: unknown,
  });
}

/** Throws {@link PartMissing} on every access to a key that is absent, and when the keys are listed. */
function partial<T extends object>(known: Partial<T>): T {
  const check = (key: string | symbol) => {
    if (typeof key === "string" && !Object.hasOwn(known, key)) throw new PartMissing(key);
  };
  return new Proxy(known as T, {
    get(target, key, receiver) {
      check(key);
      return Reflect.get(target, key, receiver);
    },
    has(target, key) {
      check(key);
      return Reflect.has(target, key);
    },
    getOwnPropertyDescriptor(target, key) {
      check(key);
      return Reflect.getOwnPropertyDescriptor(target, key);
    },
    ownKeys() {
      throw new PartMissing("keys");
    },
  });
}
