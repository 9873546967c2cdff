/**
 * The contract between the service and this package: Redis keys, record and profile shapes, and the derivation of
 * flags. Versioned with the service, not by semantic versioning: app servers import `kindling` instead.
 *
 * @module
 */
export { acceptValues } from "./definitions/accept-values.ts";
export { organizationOf } from "./definitions/claims.ts";
export { isPartMissing, PartMissing, withholdParts } from "./definitions/computed.ts";
export type { Misfit } from "./definitions/define-flags.ts";
export type { FlagDefinition } from "./definitions/definition.ts";
export { deriveInOrganizations, type OrganizationValues, storedValue } from "./definitions/in-organizations.ts";
export { createPublicKeys, type PublicKeys } from "./keys.ts";
export {
  type Agreement,
  blankProfile,
  type ExtraPart,
  extraParts,
  type Grant,
  isUserId,
  type Membership,
  type OrganizationPart,
  organizationParts,
  type Profile,
  type ProfilePart,
  profileParts,
} from "./profile.ts";
export { isReaderCluster, subscribeToCluster } from "./reader/cluster.ts";
export { answerWithoutUser } from "./reader/compose-answer.ts";
export { accountTime, type FlagsRecord, fetchAge, parseFlagsRecord } from "./record.ts";
export { announceWrites } from "./writer/announce-writes.ts";
