import type { PublicKeys } from "../keys.ts";
import type { FlagsRecord } from "../record.ts";
import { createLease, type Lease } from "./lease.ts";
import { createMemory, type Entry } from "./memory.ts";
import { longestTimer, type ReaderRedis } from "./redis.ts";

/** Options for {@link ReaderOptions.cache}. */
export interface CacheOptions {
  /** The most records to hold, at least 1. Default 10,000, which take a few megabytes. The least recently used go first. */
  maxEntries?: number;
  /**
   * Longest time a record is held, in milliseconds. Default 60,000. Bounds how long a change that no commit announces
   * stays unseen, such as a key deleted by hand.
   */
  ttl?: number;
  /**
   * Longest time to answer from memory without proof that every commit was heard, in milliseconds. Default 2000: how old
   * an answer can be, at most, on a server that did not make the change.
   */
  lease?: number;
}

/** Records in the memory of this process, current as of the lease. */
export interface Cache<E extends Entry> {
  /** Returns what can be answered with at this time of `performance.now()`, without Redis. */
  recall(userId: string, time: number): E | undefined;
  /**
   * Returns the time since the epoch at this time of `performance.now()`. One clock less to ask in each read from memory.
   * A step of the system's clock is seen with the next answered `PING`: within the lease.
   */
  epochTime(time: number): number;
  /** Announces a lookup in Redis; see {@link Memory.begin}. `length` is that of the record's text. */
  begin(userId: string): (found: FlagsRecord | null | undefined, length?: number) => void;
  observe(userId: string, ticket: number): void;
  close(): void;
}

/** Longest text of a record that is held, so that the memory is bounded too. */
const maxLength = 16_384;

/** Creates a cache, which opens its connection at the first read. */
export function createCache<E extends Entry>(
  redis: ReaderRedis,
  keys: PublicKeys,
  options: CacheOptions,
  createEntry: (record: FlagsRecord, readAt: number) => E,
): Cache<E> {
  let lease: Lease | undefined;
  let opened = false;
  const memory = createMemory({
    createEntry,
    maxEntries: atLeast(1, options.maxEntries, 10_000),
    ttlMs: atLeast(0, options.ttl, 60_000),
    subscription: () => lease?.subscription(),
  });
  const open = () => {
    opened = true;
    // A timer that is longer than any would fire at once.
    const leaseMs = Number.isFinite(options.lease) ? Math.min(longestTimer, atLeast(20, options.lease, 2_000)) : 2_000;
    // A sweep that derives flags again keeps the ticket: a record of the same ticket is out of date too.
    const onCommit = (userId: string, ticket: number) => memory.observe(userId, ticket + 1);
    lease = createLease({ redis, keys, leaseMs, onCommit, onLost: memory.clear });
  };
  return {
    recall(userId, time) {
      if (!opened) open();
      return lease?.isValid(time) ? memory.get(userId, time) : undefined;
    },
    epochTime: (time) => time + (lease?.epoch() ?? performance.timeOrigin),
    begin(userId) {
      const end = memory.begin(userId);
      return (found, length = 0) => {
        if (length <= maxLength) return end(found);
        if (found) memory.observe(userId, found.ticket);
        end(undefined);
      };
    },
    observe: memory.observe,
    close() {
      opened = true;
      lease?.close();
      lease = undefined;
    },
  };
}

/** An invalid number would lift the bound. */
function atLeast(least: number, value: number | undefined, fallback: number): number {
  return value !== undefined && value >= least ? value : fallback;
}
