export { createKindling, type Kindling, type KindlingOptions } from "./create-kindling.ts";
export type { UserClaims } from "./definitions/claims.ts";
export { fresh } from "./definitions/computed.ts";
export {
  type Definitions,
  defineFlags,
  type FlagDeclarations,
  type FlagValues,
  type InferFlags,
  type Misfit,
} from "./definitions/define-flags.ts";
export type { FlagDefinition, Freshness, Reading } from "./definitions/definition.ts";
export { type CurrentOrganization, type GrantOptions, permission, plan, role } from "./definitions/grants.ts";
export { organizationProperty, type PropertyBuilders, property } from "./definitions/property.ts";
export { KindlingError, type KindlingErrorCode } from "./errors.ts";
export type { HttpReaderOptions } from "./http/types.ts";
export type { Agreement, ExtraPart, Grant, Membership, Profile } from "./profile.ts";
export type { CacheOptions } from "./reader/cache.ts";
export type { ClusterNode, ReaderCluster } from "./reader/cluster.ts";
export { createReader } from "./reader/create-reader.ts";
export type { ReaderRedis, Subscriber } from "./reader/redis.ts";
export type {
  Reader,
  ReaderOptions,
  ReadManyOptions,
  ReadOptions,
  ReadResult,
  ReadStats,
  ReadStatus,
} from "./reader/types.ts";
export { createWriter } from "./writer/create-writer.ts";
export type { PropertyValue, SetOptions, SetResult, Writer, WriterOptions } from "./writer/types.ts";
