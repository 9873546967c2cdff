import type { Grant, Membership, Profile } from "../profile.ts";
import { isPartMissing, PartMissing } from "./computed.ts";
import type { Definitions } from "./define-flags.ts";

/**
 * Claims of a user's access or ID token, **verified by the app**: whatever stands here is believed. Kinde puts
 * `user_properties` in where the application is set up so; `roles` and `permissions` are those in `org_code`.
 *
 * Source: https://docs.kinde.com/build/tokens/about-access-tokens/
 */
export interface UserClaims {
  sub: string;
  /** Time of issue, seconds since the epoch. */
  iat?: number;
  org_code?: string | null;
  org_codes?: readonly string[];
  permissions?: readonly string[];
  /** Keys, or objects with a `key`. */
  roles?: readonly (string | { id?: string; key: string })[];
  user_properties?: Readonly<Record<string, { v?: unknown }>>;
}

/** The flags that the claims alone determine; the others are left out. Pure. */
export function flagsOfClaims<V extends Record<string, unknown>>(
  flags: Definitions<V>,
  claims: UserClaims,
): Partial<V> {
  const profile = profileOf(claims);
  const known = Object.entries(flags.flags).flatMap(([name, definition]) => {
    try {
      return [[name, definition.read(profile).value]];
    } catch (error) {
      if (isPartMissing(error)) return [];
      throw error;
    }
  });
  // Names and values are those of the definitions.
  return Object.fromEntries(known) as Partial<V>;
}

/** What the claims say, with traps in place of all else: "not in the token" must never be taken for "has none". */
function profileOf({ sub, user_properties: properties, ...claims }: UserClaims): Profile {
  const organizations = membershipsOf(claims);
  return known<Profile>({
    id: sub,
    ...(properties ? { properties: known(propertiesOf(properties)) } : {}),
    ...(organizations.length > 0 ? { organizations } : {}),
  });
}

function propertiesOf(properties: NonNullable<UserClaims["user_properties"]>): Profile["properties"] {
  return Object.fromEntries(
    Object.entries(properties).map(([key, { v }]) => [key, v === null || v === undefined ? null : String(v)]),
  );
}

// The token's own organization first: what is held there is known before another's trap is met.
function membershipsOf({ org_code, org_codes = [], roles, permissions }: Omit<UserClaims, "sub">): Membership[] {
  const own = org_code
    ? [
        known<Membership>({
          code: org_code,
          ...(roles ? { roles: roles.map(grantOf) } : {}),
          ...(permissions ? { permissions: permissions.map(grantOf) } : {}),
        }),
      ]
    : [];
  return [...own, ...org_codes.filter((code) => code !== org_code).map((code) => known<Membership>({ code }))];
}

function grantOf(held: string | { id?: string; key: string }): Grant {
  return typeof held === "string" ? { id: held, key: held } : { id: held.id ?? held.key, key: held.key };
}

/** Throws where anything is asked for that is not there. */
function known<T extends object>(parts: Partial<T>): T {
  const check = (key: string | symbol) => {
    if (typeof key === "string" && !Object.hasOwn(parts, key)) throw new PartMissing(key);
  };
  return new Proxy(parts as T, {
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
  });
}
