import { KindlingError } from "../errors.ts";
import type { Agreement, ExtraPart, Membership, Profile } from "../profile.ts";
import type { FlagDefinition } from "./definition.ts";
import { membershipIn } from "./in-organizations.ts";

/**
 * Makes a flag depend on the organization of the request: the `organization` of {@link ReadOptions}, or the `org_code` of
 * its `claims`. Without one, and in an organization the user is not in, the flag has its default.
 */
export interface CurrentOrganization {
  in: "current";
  organization?: never;
}

/** Options for {@link permission} and {@link role}. */
export type GrantOptions =
  | {
      /** Code of the organization (`org_…`) in which the user must hold it. Default: any of the user's organizations. */
      organization?: string;
      in?: never;
    }
  | CurrentOrganization;

/**
 * Defines a boolean flag: true if the user holds the permission, directly or through a role. False for a user without an
 * organization: Kinde assigns permissions within organizations.
 *
 * @param key The permission's key in Kinde
 * @throws {KindlingError} `flag_malformed` if the options contradict each other
 * @see https://docs.kinde.com/manage-users/roles-and-permissions/user-permissions/
 *
 * @example
 * ```ts
 * import { defineFlags, permission } from "kindling";
 *
 * export default defineFlags({
 *   admin: permission("admin:access"),
 *   acmeAdmin: permission("admin:access", { organization: "org_0123456789a" }),
 *   adminHere: permission("admin:access", { in: "current" }),
 * });
 * ```
 */
export function permission(key: string, options: GrantOptions = {}): FlagDefinition<boolean> {
  return { ...grant("permission", "permissions", key, options), permissions: [key] };
}

/**
 * Defines a boolean flag: true if the user holds the role. False for a user without an organization: Kinde assigns roles
 * within organizations.
 *
 * @param key The role's key in Kinde
 * @throws {KindlingError} `flag_malformed` if the options contradict each other
 * @see https://docs.kinde.com/manage-users/roles-and-permissions/user-roles/
 *
 * @example
 * ```ts
 * import { defineFlags, role } from "kindling";
 *
 * export default defineFlags({ owner: role("owner") });
 * ```
 */
export function role(key: string, options: GrantOptions = {}): FlagDefinition<boolean> {
  return grant("role", "roles", key, options);
}

/**
 * Defines a boolean flag: true if the user, as a billing customer, has an agreement for the plan. Agreements of the
 * user's organizations do not count, unless `in: "current"` asks for those of the current organization instead.
 *
 * @param code The plan's code in Kinde
 * @throws {KindlingError} `flag_malformed` if `in` is not `"current"`
 * @see https://docs.kinde.com/kinde-apis/management/#tag/billing-agreements
 *
 * @example
 * ```ts
 * import { defineFlags, plan } from "kindling";
 *
 * export default defineFlags({ pro: plan("pro"), teamPlan: plan("team", { in: "current" }) });
 * ```
 */
export function plan(code: string, options?: CurrentOrganization): FlagDefinition<boolean> {
  const source = `plan ${JSON.stringify(code)}`;
  const includes = (agreements: readonly Agreement[] = []) => agreements.some(({ planCode }) => planCode === code);
  if (isCurrent(source, options)) {
    return inCurrent(`${source} of the current organization`, "organizationAgreements", (membership) =>
      includes(membership.agreements),
    );
  }
  return define(source, "billing", (profile) => includes(profile.billing.agreements));
}

function grant(word: string, part: "roles" | "permissions", key: string, options: GrantOptions) {
  const source = `${word} ${JSON.stringify(key)} in`;
  const holds = (membership: Membership) => membership[part].some((held) => held.key === key);
  if (isCurrent(source, options)) return inCurrent(`${source} the current organization`, part, holds);
  const { organization } = options;
  if (organization === undefined) {
    return define(`${source} any organization`, part, (profile) => profile.organizations.some(holds));
  }
  return define(`${source} ${organization}`, part, (profile) => holdsIn(profile, organization, holds));
}

// JavaScript does not check the types, and a misspelled "current" must not grant in any organization.
function isCurrent(source: string, options: GrantOptions = {}): options is CurrentOrganization {
  const { in: where, organization }: { in?: unknown; organization?: unknown } = options;
  if (where === undefined) return false;
  if (where === "current" && organization === undefined) return true;
  throw new KindlingError(
    "flag_malformed",
    `The flag of ${source} has contradictory options: give either { in: "current" } or { organization: "org_…" }.`,
  );
}

function inCurrent(source: string, need: ExtraPart, holds: (membership: Membership) => boolean) {
  const definition = define(source, need, () => false);
  const read = (profile: Profile, organization?: string) => ({ value: holdsIn(profile, organization, holds) });
  return { ...definition, in: "current", read } as const;
}

function holdsIn(profile: Profile, organization: string | undefined, holds: (membership: Membership) => boolean) {
  const membership = membershipIn(profile, organization);
  return membership !== undefined && holds(membership);
}

function define(source: string, need: ExtraPart, holds: (profile: Profile) => boolean): FlagDefinition<boolean> {
  return {
    source,
    needs: [need],
    fallback: false,
    read: (profile) => ({ value: holds(profile) }),
    accepts: (value) => typeof value === "boolean",
  };
}
