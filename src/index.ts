/**
 * What the flags file imports. Light on purpose: app servers import the flags file too, for its types and defaults.
 * `createKindling` loads the rest when it is first used.
 */
export { defineFlags, type FlagDeclarations, type Flags, type FlagValues, type Misfit } from "./flags/define-flags.ts";
export type { FlagDefinition, Freshness } from "./flags/definition.ts";
export { fresh } from "./flags/fresh.ts";
export { type GrantOptions, permission, plan, role } from "./flags/grants.ts";
export { property } from "./flags/property.ts";
export type { Agreement, Grant, Membership, Profile } from "./kinde/profile.ts";
export { createKindling } from "./kindling/create-kindling.ts";
export type { Kindling, KindlingOptions, SetOptions, SetResult } from "./kindling/types.ts";
