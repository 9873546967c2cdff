import type { UserClaims } from "../definitions/claims.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import type { ReaderRedis } from "./redis.ts";

/**
 * What became of a lookup. Whatever it is, `flags` can be used.
 * - `present`: from the record.
 * - `missing`: no record yet. `deleted`: a tombstone. `invalid`: a record that cannot be read. `unavailable`: Redis did
 *   not answer in time. All of these give the declared defaults, or what the caller's claims say.
 */
export type ReadStatus = "present" | "missing" | "deleted" | "invalid" | "unavailable";

/** The answer to a lookup. */
export interface ReadResult<V> {
  flags: V;
  status: ReadStatus;
  /** `claims`: as far as the caller's token tells, with defaults for the rest; a tombstone's are `defaults`. */
  source: "record" | "claims" | "defaults";
  /** Start of the fetch the record stems from, milliseconds since the epoch; `null` without a record. */
  fetchedAt: number | null;
  /** Milliseconds since then; `null` without a record. */
  age: number | null;
  /** Flags that were older than they may be, so that the value for that case stands in. */
  denied: readonly (keyof V & string)[];
  /**
   * With `missing` only: whether the store has been filled with everybody. `false`: it is new or was wiped, and the
   * user may well exist.
   */
  complete?: boolean;
}

/** What the reader needs. */
export interface ReaderOptions<V extends Record<string, unknown>> {
  /**
   * A client of the app's own. For the plain lookup `GET` on `<prefix>:flags:*` is all the permission it needs (`MGET`
   * for `getMany`); to ask for refreshes, `ZADD` on `{<prefix>:wishes}:*`; to wait for them, `SUBSCRIBE` on the channels
   * `<prefix>:commits:*`.
   */
  redis: ReaderRedis;
  /** What the flags file exports. */
  definitions: Definitions<V>;
  /** Default `kindling`. */
  prefix?: string;
  /** Longest wait for an answer of Redis, in milliseconds. Default 250. */
  timeoutMs?: number;
  /**
   * Reading a record older than this, in milliseconds, has the user refreshed in the background. Default 5 minutes;
   * `Infinity`: never.
   */
  softAge?: number;
  /** Longest wait for a refresh that a flag's own `maxAge` demands, in milliseconds. Default 1000. */
  wait?: number;
  /** Milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
}

/** How fresh an answer is wanted. */
export interface ReadOptions {
  /** A record older than this, in milliseconds, or none at all, has a refresh asked for. Default: any age will do. */
  maxAge?: number;
  /** Longest wait for that refresh, in milliseconds. Default 0: answer at once with what there is. */
  wait?: number;
  /**
   * Claims of the caller's token, **verified by the app**. They answer where there is no record; where they are newer
   * than the record and disagree with it, a refresh is asked for. Those of another user are not looked at.
   */
  claims?: UserClaims;
}

/** Answers what app servers want to know about a user. */
export interface Reader<V> {
  /**
   * One `GET`; a second one, on a miss, tells whether the store is complete. Never throws, and waits no longer than the
   * time-out unless it is told to.
   */
  get(userId: string, options?: ReadOptions): Promise<ReadResult<V>>;
  /** One `MGET`; answers in the order asked, and never waits for a refresh. On a Redis Cluster ask one by one. */
  getMany(userIds: readonly string[]): Promise<ReadResult<V>[]>;
  /** Ends the connection that waiting has opened; the client stays the app's. */
  close(): void;
}
