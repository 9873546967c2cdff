import { createKeys } from "../cache/keys.ts";
import { type FlagsRecord, parseFlagsRecord } from "../cache/record.ts";
import type { Flags } from "../flags/define-flags.ts";

/**
 * What became of a lookup. Whatever it is, `flags` can be used.
 * - `present`: from the record.
 * - `missing`: no record yet. `deleted`: a tombstone. `invalid`: a record that cannot be read. `unavailable`: Redis did
 *   not answer in time. All of these give the declared defaults.
 */
export type ReadStatus = "present" | "missing" | "deleted" | "invalid" | "unavailable";

/** The answer to a lookup. */
export interface ReadResult<V> {
  flags: V;
  status: ReadStatus;
  /** Start of the fetch the record stems from, milliseconds since the epoch; `null` without a record. */
  fetchedAt: number | null;
  /** Milliseconds since then; `null` without a record. */
  age: number | null;
}

/** The two commands the reader uses; an ioredis client has them. */
export interface ReaderRedis {
  get(key: string): Promise<string | null>;
  mget(keys: string[]): Promise<(string | null)[]>;
}

/** What the reader needs. */
export interface ReaderOptions<V extends Record<string, unknown>> {
  /** A client of the app's own; `GET` on `<prefix>:flags:*` is all the permission it needs (`MGET` for `getMany`). */
  redis: ReaderRedis;
  /** What the flags file exports. */
  flags: Flags<V>;
  /** Default `kindling`. */
  prefix?: string;
  /** Longest wait for Redis, in milliseconds. Default 250. */
  timeoutMs?: number;
  /** Milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
}

/** Answers what app servers want to know about a user. */
export interface Reader<V> {
  /** One `GET`. Never throws, and never waits longer than the time-out. */
  get(userId: string): Promise<ReadResult<V>>;
  /** One `MGET`; answers in the order asked. On a Redis Cluster ask one by one. */
  getMany(userIds: readonly string[]): Promise<ReadResult<V>[]>;
}

/** A reader for app servers. */
export function createReader<V extends Record<string, unknown>>(options: ReaderOptions<V>): Reader<V> {
  const { redis, flags, prefix = "kindling", timeoutMs = 250, now = Date.now } = options;
  const keys = createKeys(prefix);
  const without = (status: Exclude<ReadStatus, "present">): ReadResult<V> => ({
    flags: defaultsOf(flags),
    status,
    fetchedAt: null,
    age: null,
  });
  const unavailable = Symbol("unavailable");
  const bounded = async <T>(command: () => Promise<T>): Promise<T | typeof unavailable> => {
    let timer: NodeJS.Timeout | undefined;
    const expiry = new Promise<typeof unavailable>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, unavailable);
    });
    try {
      return await Promise.race([command(), expiry]);
    } catch {
      return unavailable;
    } finally {
      clearTimeout(timer);
    }
  };
  const read = (text: string | null): ReadResult<V> => {
    if (text === null) return without("missing");
    const record = parseFlagsRecord(text);
    if (record === undefined) return without("invalid");
    const { fetchedAt } = record;
    const age = Math.max(0, now() - fetchedAt);
    if (record.status === "deleted") return { ...without("deleted"), fetchedAt, age };
    return { flags: valuesOf(flags, record), status: "present", fetchedAt, age };
  };

  return {
    async get(userId) {
      const text = await bounded(() => redis.get(keys.flags(userId)));
      return text === unavailable ? without("unavailable") : read(text);
    },
    async getMany(userIds) {
      if (userIds.length === 0) return [];
      const texts = await bounded(() => redis.mget(userIds.map(keys.flags)));
      return texts === unavailable ? userIds.map(() => without("unavailable")) : texts.map(read);
    },
  };
}

// Each answer gets defaults of its own: what an app does to one must not show in another's.
function defaultsOf<V extends Record<string, unknown>>({ defaults }: Flags<V>): V {
  const flat = Object.values(defaults).every((value) => typeof value !== "object" || value === null);
  return flat ? { ...defaults } : structuredClone(defaults);
}

// A record may stem from workers with older definitions: each value is taken only if this flag could have it.
function valuesOf<V extends Record<string, unknown>>(flags: Flags<V>, record: FlagsRecord): V {
  const values: Record<string, unknown> = defaultsOf(flags);
  for (const [name, definition] of Object.entries(flags.definitions)) {
    const value = Object.hasOwn(record.flags, name) ? record.flags[name] : undefined;
    if (value !== undefined && definition.accepts(value)) values[name] = value;
  }
  // Every name is there with a default, and each value was accepted by its definition.
  return values as V;
}
