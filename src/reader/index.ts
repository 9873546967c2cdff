/** What app servers import: `import { createReader } from "kindling/reader"`. */
export type { UserClaims } from "../flags/claims.ts";
export { createReader } from "./create-reader.ts";
export type { ReaderRedis, Subscriber } from "./reader-redis.ts";
export type { Reader, ReaderOptions, ReadOptions, ReadResult, ReadStatus } from "./types.ts";
