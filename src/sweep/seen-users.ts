import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import { z } from "zod";
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
  add(sweep: SweepMark, userIds: readonly string[]): Promise<void>;
  /** Returns the users that the sweep has not seen. */
  missing(sweep: SweepMark, userIds: readonly string[]): Promise<string[]>;
  forget(sweep: SweepMark): Promise<void>;
}

/** A sweep's number and the size of its filter in bits. */
export interface SweepMark {
  number: number;
  bits: number;
}

const hashesPerUser = 4;
const bitsPerUser = 16;
const minBits = 2 ** 20;
// A Redis string holds at most 512 MB.
const maxBits = 2 ** 32;
const ttlMs = 30 * 86_400_000;

/** Returns the filter size for a number of users, with room for half as many more. */
export function bitsFor(users: number): number {
  return Math.min(maxBits, Math.max(minBits, 2 ** Math.ceil(Math.log2(users * bitsPerUser * 1.5 + 1))));
}

const addSeenUsers = defineScript("add-seen-users", {
  call: ({ filterKey, offsets }: { filterKey: string; offsets: readonly number[] }) => ({
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

/** Creates the filters over one connection. */
export function createSeenUsers({ redis, keys }: { redis: Redis; keys: Keys }): SeenUsers {
  const filterKey = ({ number }: SweepMark) => keys.ledgerPart(`sweep:seen:${number}`);
  return {
    async add(sweep, userIds) {
      if (userIds.length === 0) return;
      await addSeenUsers(redis, { filterKey: filterKey(sweep), offsets: bitOffsets(sweep, userIds) });
    },
    async missing(sweep, userIds) {
      if (userIds.length === 0) return [];
      const input = { filterKey: filterKey(sweep), offsets: bitOffsets(sweep, userIds) };
      return (await findUnseenUsers(redis, input)).flatMap((index) => userIds[index] ?? []);
    },
    async forget(sweep) {
      await redis.unlink(filterKey(sweep));
    },
  };
}

function bitOffsets({ number, bits }: SweepMark, userIds: readonly string[]): number[] {
  return userIds.flatMap((userId) => {
    const digest = createHash("sha1").update(`${number}:${userId}`).digest();
    return Array.from({ length: hashesPerUser }, (_, hash) => digest.readUInt32BE(hash * 4) % bits);
  });
}
