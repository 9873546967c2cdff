import type { UserClaims } from "../definitions/claims.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import type { CacheOptions } from "./cache.ts";
import type { ReaderCluster } from "./cluster.ts";
import type { ReaderRedis } from "./redis.ts";

/**
 * The outcome of a lookup. `flags` is usable with every status.
 *
 * - `present`: the user has a record.
 * - `missing`: the user has no record (yet).
 * - `deleted`: the user was deleted in Kinde.
 * - `invalid`: the record is corrupt.
 * - `unavailable`: Redis failed or did not answer within `timeoutMs`.
 */
export type ReadStatus = "present" | "missing" | "deleted" | "invalid" | "unavailable";

/**
 * The answer to a lookup.
 *
 * @typeParam V Flag values by name
 *
 * @example
 * ```ts
 * const { flags, status, age, denied } = await reader.get(userId);
 * if (status === "deleted") return signOut();
 * if (denied.includes("suspended")) log.warn({ age }, "suspension is not known recently enough");
 * if (flags.suspended) return forbidden();
 * ```
 */
export interface ReadResult<V> {
  /** A value for every flag. A fresh object: changing it does not affect other answers. */
  flags: V;
  status: ReadStatus;
  /** Where the values come from. `claims`: flags that the token does not determine have their defaults. */
  source: "record" | "claims" | "defaults";
  /** Start of the fetch that the record comes from, in milliseconds since the epoch. `null` without a record. */
  fetchedAt: number | null;
  /**
   * Milliseconds since `fetchedAt`, at least 0. If `fetchedAt` is more than 5 s ahead of this process's clock, what it is
   * ahead: one of the clocks is wrong, and the record must not look young. `null` without a record.
   */
  age: number | null;
  /** Names of flags that were too old, or unknown, and therefore have the `value` of their {@link fresh} rule. */
  denied: readonly (keyof V & string)[];
  /** Set if the record came from the memory of this process: see {@link ReaderOptions.cache}. */
  cached?: true;
  /**
   * Set if a flag depends on the current organization: the organization whose values these are. `null`: the read named
   * none, so these flags have their defaults.
   */
  organization?: string | null;
  /**
   * Set by {@link Reader.get} with status `missing`: whether the store held a record of every user. `false` means that
   * the store is new or was wiped, so the user can well exist.
   */
  complete?: boolean;
}

/** What a reader has answered since it was created. See {@link Reader.stats}. */
export interface ReadStats {
  /** Answers by status. Each user of {@link Reader.getMany} counts as one. */
  answers: Record<ReadStatus, number>;
  /** Answers from memory: see {@link ReaderOptions.cache}. */
  cached: number;
  /** Answers in which at least one flag had the `value` of its {@link fresh} rule. */
  denied: number;
}

/**
 * Options for {@link createReader}.
 *
 * @typeParam V Flag values by name
 */
export interface ReaderOptions<V extends Record<string, unknown>> {
  /**
   * A Redis client or a cluster client, which the app opens and closes. Its Redis user needs these permissions, shown for the default prefix
   * (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/):
   *
   * - to read: `%R~kindling:flags:* +get`, and `+mget` for {@link Reader.getMany}
   * - to request refreshes: `%W~{kindling:refresh-requests}:now %W~{kindling:refresh-requests}:later +zadd`
   * - to wait for refreshes: `&kindling:commits:* +subscribe +unsubscribe`
   */
  redis: ReaderRedis | ReaderCluster;
  /** What {@link defineFlags} returned: the default export of the flags file. */
  definitions: Definitions<V>;
  /** Prefix of the keys, as in the service's setting `KINDLING_PREFIX`. Default `"kindling"`. */
  prefix?: string;
  /** Longest wait for Redis in one read, all its commands together, in milliseconds. Default 250. */
  timeoutMs?: number;
  /**
   * Age of account fields and properties, in milliseconds, beyond which reading a record requests a refresh in the background.
   * Default 300,000 (5 minutes). `Infinity` requests one only for users without a valid record.
   */
  softAge?: number;
  /** Longest wait for a refresh that a {@link fresh} flag demands, in milliseconds. Default 1000; 0 never waits. */
  wait?: number;
  /**
   * Answers from the memory of this process where possible: `{}` for the defaults. Off by default, because it weakens
   * read-your-writes: a write is then seen at once in the process that made it, and on other servers when its commit is
   * announced, usually within milliseconds and at the latest after {@link CacheOptions.lease}.
   *
   * Opens a second connection, which needs `psubscribe` and `ping` (as ioredis has) and the permissions
   * `&kindling:commits:* +psubscribe +ping`. Without them, every read goes to Redis.
   */
  cache?: CacheOptions;
  /** Returns the time in milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
}

/** Options for {@link Reader.get}. */
export interface ReadOptions {
  /** Request a refresh if the record is older than this, in milliseconds. Default: any age is accepted. */
  maxAge?: number;
  /**
   * Longest wait for that refresh, or for the first record of a user without one, in milliseconds. Default 0: answer at
   * once. If a {@link fresh} flag is too old, the default is {@link ReaderOptions.wait}, and 0 overrides it.
   */
  wait?: number;
  /**
   * Claims of the caller's token, **verified by the app**. They answer for a user without a record. If they are newer
   * than the record and disagree with it, a refresh is requested. Claims whose `sub` is another user's are ignored.
   */
  claims?: UserClaims;
  /**
   * Code of the current organization (`org_…`), for flags that depend on it. Take it from a verified token: a user in
   * several organizations can otherwise choose. Default: the `org_code` of `claims`; `null` reads for no organization.
   */
  organization?: string | null | undefined;
  /**
   * Do not answer from memory with a record whose ticket is lower: the `ticket` of a write on another server, handed
   * over in a session or a redirect. Matters only with {@link ReaderOptions.cache}.
   */
  atLeast?: number;
}

/** Options for {@link Reader.getMany}. */
export type ReadManyOptions = Pick<ReadOptions, "organization">;

/**
 * Reads flags. Created by {@link createReader}.
 *
 * @typeParam V Flag values by name
 */
export interface Reader<V extends Record<string, unknown>> {
  /** The definitions that the reader was created with. */
  readonly definitions: Definitions<V>;
  /**
   * Reads the flags of a user: one `GET`, or two on a miss. The second one tells whether the store is complete. Never
   * rejects. It takes at most `timeoutMs`, plus the wait for a refresh: only if `wait` asks for one, or if a {@link fresh}
   * flag with `refresh` or `deny` is too old or the user has no record.
   *
   * @param userId Kinde's id of the user, `kp_…`
   *
   * @example
   * ```ts
   * const { flags } = await reader.get(userId);
   * // At most 10 s old, or else refreshed first if that takes no longer than 500 ms:
   * const recent = await reader.get(userId, { maxAge: 10_000, wait: 500 });
   * ```
   */
  get(userId: string, options?: ReadOptions): Promise<ReadResult<V>>;
  /**
   * Reads the flags of several users in one `MGET`, on a cluster in one `GET` each, all at the same time. Never rejects and never waits for a refresh, but requests one in the
   * background for each user without a valid record or with one older than `softAge`. Does not set `complete`.
   *
   * @returns Answers in the order of `userIds`
   *
   * @example
   * ```ts
   * const results = await reader.getMany(["kp_0123456789abcdef", "kp_fedcba9876543210"]);
   * const pro = results.filter(({ flags }) => flags.tier === "pro");
   * ```
   */
  getMany(userIds: readonly string[], options?: ReadManyOptions): Promise<ReadResult<V>[]>;
  /**
   * Returns what {@link Reader.get} would answer from memory, without a promise, or `undefined` if it would ask Redis.
   * Never throws. Always `undefined` without {@link ReaderOptions.cache}.
   *
   * @example
   * ```ts
   * const { flags } = reader.peek(userId) ?? (await reader.get(userId));
   * ```
   */
  peek(userId: string, options?: Omit<ReadOptions, "wait">): ReadResult<V> | undefined;
  /**
   * Announces that a record with this ticket was committed, so that no lower one is answered from memory. A writer with
   * the option `reader` does it. Matters only with {@link ReaderOptions.cache}.
   */
  observe(userId: string, ticket: number): void;
  /**
   * Returns what this reader has answered since it was created: counters for the app's own metrics.
   *
   * @example
   * ```ts
   * const { answers, denied } = reader.stats();
   * console.log(answers.present, answers.unavailable, denied);
   * ```
   */
  stats(): ReadStats;
  /** Closes the connections that the reader opened itself, and stops caching. The app's own client stays open. */
  close(): void;
}
