import { hash } from "node:crypto";
import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { defineScript, noAnswer } from "../redis/script.ts";

/**
 * Users that a sweep has seen, in a Bloom filter: its memory does not grow with the number of users.
 *
 * The filter can report an unseen user as seen, never the reverse. This happens for about one user in 400, and more
 * often in a first sweep of more than 65,000 users, which cannot know their number in advance. The next sweep hashes
 * differently, so no user is missed for long.
 */
export interface SeenUsers {
  /**
   * Creates the filter of a new sweep. Deletes what abandoned sweeps left behind: of the sweeps in Redis, only the newest
   * {@link sweepsKept} and the previous completed one remain.
   */
  begin(sweep: SweepMark, previous: SweepMark | null): Promise<void>;
  /** Adds users. Does nothing if the filter is gone: a filter with some of the users would be wrong about the others. */
  add(sweep: SweepMark, userIds: readonly string[]): Promise<void>;
  /** Returns whether the filter still exists. Without it, every user looks unseen. */
  exists(sweep: SweepMark): Promise<boolean>;
  /** Returns the users that the sweep has not seen. */
  missing(sweep: SweepMark, userIds: readonly string[]): Promise<string[]>;
  forget(sweep: SweepMark): Promise<void>;
}

/** A sweep's number and the size of its filter in bits. */
export interface SweepMark {
  number: number;
  bits: number;
}

/** Sweeps whose traces stay in Redis: one that runs, a backfill beside it, and two that a crash can have interrupted. */
export const sweepsKept = 4;

const hashesPerUser = 4;
const bitsPerUser = 16;
const minBits = 2 ** 20;
// A Redis string holds at most 512 MB.
const maxBits = 2 ** 32;

/** Returns the filter size for a number of users, with room for half as many more. */
export function bitsFor(users: number): number {
  return Math.min(maxBits, Math.max(minBits, 2 ** Math.ceil(Math.log2(users * bitsPerUser * 1.5 + 1))));
}

/** Returns the keys of what a sweep remembers: its filter, and the users listed by a sweep that fills. */
export function traceKeys(keys: Pick<Keys, "ledgerPart">, sweep: number) {
  return { filter: keys.ledgerPart(`sweep:seen:${sweep}`), listed: keys.ledgerPart(`sweep:listed:${sweep}`) };
}

const addSeenUsers = defineScript("add-seen-users", {
  call: ({ filterKey, ttlMs, offsets }: { filterKey: string; ttlMs: number; offsets: readonly number[] }) => ({
    keys: [filterKey],
    args: [ttlMs, ...offsets],
  }),
  answer: noAnswer,
});

const findUnseenUsers = defineScript("find-unseen-users", {
  call: ({ filterKey, offsets }: { filterKey: string; offsets: readonly number[] }) => ({
    keys: [filterKey],
    args: [hashesPerUser, ...offsets],
  }),
  answer: z.array(z.int()),
});

/** Options for {@link createSeenUsers}. */
export interface SeenUsersOptions {
  redis: RedisClient;
  keys: Keys;
  /** Lifetime of a filter after its last use, in milliseconds. Must exceed the time between two sweeps. */
  ttlMs: number;
}

/** Creates the filters over one connection. */
export function createSeenUsers({ redis, keys, ttlMs }: SeenUsersOptions): SeenUsers {
  const begunKey = keys.ledgerPart("sweep:begun");
  const filterKey = ({ number }: SweepMark) => traceKeys(keys, number).filter;
  const forget = async (numbers: readonly (string | number)[]) => {
    if (numbers.length === 0) return;
    await redis.unlink(numbers.flatMap((number) => Object.values(traceKeys(keys, Number(number)))));
    await redis.zrem(begunKey, ...numbers);
  };
  return {
    async begin(sweep, previous) {
      const key = filterKey(sweep);
      await redis.multi().setbit(key, 0, 0).pexpire(key, ttlMs).zadd(begunKey, sweep.number, sweep.number).exec();
      const abandoned = await redis.zrange(begunKey, 0, -sweepsKept - 1);
      await forget(abandoned.filter((number) => Number(number) !== previous?.number));
    },
    async add(sweep, userIds) {
      if (userIds.length === 0) return;
      await addSeenUsers(redis, { filterKey: filterKey(sweep), ttlMs, offsets: bitOffsets(sweep, userIds) });
    },
    async exists(sweep) {
      return (await redis.exists(filterKey(sweep))) === 1;
    },
    async missing(sweep, userIds) {
      if (userIds.length === 0) return [];
      const input = { filterKey: filterKey(sweep), offsets: bitOffsets(sweep, userIds) };
      return (await findUnseenUsers(redis, input)).flatMap((index) => userIds[index] ?? []);
    },
    forget: ({ number }) => forget([number]),
  };
}

function bitOffsets({ number, bits }: SweepMark, userIds: readonly string[]): number[] {
  return userIds.flatMap((userId) => {
    const digest = hash("sha1", `${number}:${userId}`, "buffer");
    return Array.from({ length: hashesPerUser }, (_, index) => digest.readUInt32BE(index * 4) % bits);
  });
}
