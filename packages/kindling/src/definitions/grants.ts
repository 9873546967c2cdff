import type { ExtraPart, Membership, Profile } from "../profile.ts";
import type { FlagDefinition } from "./definition.ts";

/** Options for {@link permission} and {@link role}. */
export interface GrantOptions {
  /** Code of the organization (`org_…`) in which the user must hold it. Default: any of the user's organizations. */
  organization?: string;
}

/**
 * Defines a boolean flag: true if the user holds the permission, directly or through a role. False for a user without an
 * organization: Kinde assigns permissions within organizations.
 *
 * @param key The permission's key in Kinde
 * @see https://docs.kinde.com/manage-users/roles-and-permissions/user-permissions/
 *
 * @example
 * ```ts
 * import { defineFlags, permission } from "kindling";
 *
 * export default defineFlags({
 *   admin: permission("admin:access"),
 *   acmeAdmin: permission("admin:access", { organization: "org_0123456789a" }),
 * });
 * ```
 */
export function permission(key: string, options: GrantOptions = {}): FlagDefinition<boolean> {
  return grant("permission", "permissions", key, options);
}

/**
 * Defines a boolean flag: true if the user holds the role. False for a user without an organization: Kinde assigns roles
 * within organizations.
 *
 * @param key The role's key in Kinde
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
 * user's organizations do not count.
 *
 * @param code The plan's code in Kinde
 * @see https://docs.kinde.com/kinde-apis/management/#tag/billing-agreements
 *
 * @example
 * ```ts
 * import { defineFlags, plan } from "kindling";
 *
 * export default defineFlags({ pro: plan("pro") });
 * ```
 */
export function plan(code: string): FlagDefinition<boolean> {
  return define(`plan ${JSON.stringify(code)}`, "billing", (profile) =>
    profile.billing.agreements.some((agreement) => agreement.planCode === code),
  );
}

function grant(word: string, part: "roles" | "permissions", key: string, { organization }: GrantOptions) {
  const where = organization === undefined ? "any organization" : organization;
  const counts = (membership: Membership) => organization === undefined || membership.code === organization;
  return define(`${word} ${JSON.stringify(key)} in ${where}`, part, (profile) =>
    profile.organizations.some((membership) => counts(membership) && membership[part].some((held) => held.key === key)),
  );
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
