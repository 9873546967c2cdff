/**
 * What Kindling's service shares with the client: the Redis contract and the derivation of flags. It follows the
 * service's version, not semantic versioning: app servers import `kindling`.
 */
export { acceptValues } from "./definitions/accept-values.ts";
export { isPartMissing, PartMissing, withholdParts } from "./definitions/computed.ts";
export type { FlagDefinition } from "./definitions/definition.ts";
export { createPublicKeys, type PublicKeys } from "./keys.ts";
export {
  type Agreement,
  blankProfile,
  type ExtraPart,
  extraParts,
  type Grant,
  type Membership,
  type Profile,
  type ProfilePart,
  profileParts,
} from "./profile.ts";
export { type FlagsRecord, parseFlagsRecord } from "./record.ts";
export { isUserId } from "./user-id.ts";
