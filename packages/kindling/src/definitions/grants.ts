import type { ExtraPart, Membership, Profile } from "../profile.ts";
import type { FlagDefinition } from "./definition.ts";

/** Where a role or permission must be held. */
export interface GrantOptions {
  /** Code of the organization (`org_…`). Default: any organization of the user. */
  organization?: string;
}

/** True when the user holds the permission, directly or through a role. */
export function permission(key: string, options: GrantOptions = {}): FlagDefinition<boolean> {
  return grant("permission", "permissions", key, options);
}

/** True when the user holds the role. */
export function role(key: string, options: GrantOptions = {}): FlagDefinition<boolean> {
  return grant("role", "roles", key, options);
}

/** True when the user has an agreement for the billing plan with this code. */
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
