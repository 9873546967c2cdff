import type { Membership, Profile } from "../profile.ts";
import type { FlagDefinition } from "./definition.ts";

/**
 * Values of the flags that depend on the current organization, by organization code. An organization's entry holds only
 * values that differ from the entry `"*"`, which holds every such flag's value in all other organizations.
 */
export type OrganizationValues = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The entry for organizations without one of their own. Not a code: codes start with `org_`. */
const elsewhere = "*";

/** The most text that the values of one user's organizations can take in a record, in characters of JSON. */
const maxLength = 65_536;

/** Returns the user's membership in an organization; `undefined` if the user is not in it. */
export function membershipIn({ organizations }: Profile, code: string | undefined): Membership | undefined {
  return code === undefined ? undefined : organizations.find((membership) => membership.code === code);
}

/**
 * Derives the flags that depend on the current organization, for each of the user's organizations.
 *
 * A user in so many organizations that the values do not fit keeps those that do, complete and without the entry `"*"`:
 * for the others the flags then count as not derived.
 *
 * @param onMisfit Called with each value that does not fit its definition
 * @returns `undefined` if no flag depends on the current organization
 */
export function deriveInOrganizations(
  flags: Readonly<Record<string, FlagDefinition<unknown>>>,
  profile: Profile,
  onMisfit: (flag: string, reason: string) => void,
): OrganizationValues | undefined {
  const dependent = Object.entries(flags).filter(([, definition]) => definition.in === "current");
  if (dependent.length === 0) return undefined;
  const defaults = Object.fromEntries(dependent.map(([name, { fallback }]) => [name, fallback]));
  const all = profile.organizations.map(({ code }) => {
    const values = dependent.map(([name, definition]) => {
      const { value, misfit } = definition.read(profile, code);
      if (misfit !== undefined) onMisfit(name, `${misfit} in ${code}`);
      return [name, value] as const;
    });
    return [code, values] as const;
  });
  const differing = all.flatMap(([code, values]) => {
    const own = values.filter(([name, value]) => value !== defaults[name]);
    return own.length === 0 ? [] : [[code, Object.fromEntries(own)] as const];
  });
  const sparse = Object.fromEntries([[elsewhere, defaults], ...differing]);
  if (JSON.stringify(sparse).length <= maxLength) return sparse;
  let left = maxLength;
  const fitting = all.filter(([code, values]) => {
    left -= JSON.stringify([code, values]).length;
    return left >= 0;
  });
  return Object.fromEntries(fitting.map(([code, values]) => [code, Object.fromEntries(values)]));
}

/** The members of a record, or of a similar answer, that hold flag values. */
export interface StoredFlags {
  flags: Readonly<Record<string, unknown>>;
  organizations?: OrganizationValues | undefined;
}

/** Returns a flag's value in a record; `undefined` if the record does not hold it, or holds it for another scope. */
export function storedValue(
  { in: where }: FlagDefinition<unknown>,
  name: string,
  { flags, organizations }: StoredFlags,
  organization: string | undefined,
): unknown {
  const shared = own(own(organizations, elsewhere), name);
  // A flag of the same name was, or became, dependent on the organization: the record says nothing about this one.
  if (where === undefined) return shared === undefined ? own(flags, name) : undefined;
  const inside = organization === undefined ? undefined : own(own(organizations, organization), name);
  return inside === undefined ? shared : inside;
}

// Records are external input: any member can have any type.
function own(object: unknown, name: string): unknown {
  const has = typeof object === "object" && object !== null && Object.hasOwn(object, name);
  return has ? (object as Record<string, unknown>)[name] : undefined;
}
