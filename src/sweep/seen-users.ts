import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import { defineScript } from "../redis/script.ts";

/**
 * Which users a sweep has seen, in a Bloom filter: memory stays flat however many users there are. It may take an
 * unseen user for seen, and never the other way round: in about one case in four hundred, more often in a first sweep of
 * more than 65,000 users, whose number it could not know. The next sweep draws other places, so that nobody is overlooked
 * for long.
 */
export interface SeenUsers {
  add(sweep: SweepMark, userIds: readonly string[]): Promise<void>;
  /** Users that were not seen. */
  missing(sweep: SweepMark, userIds: readonly string[]): Promise<string[]>;
  forget(sweep: SweepMark): Promise<void>;
}

/** A sweep's number, and how many bits its filter has. */
export interface SweepMark {
  number: number;
  bits: number;
}

const hashes = 4;
const bitsPerUser = 16;
const fewestBits = 2 ** 20;
// A Redis string ends at 512 MB.
const mostBits = 2 ** 32;

/** Bits for so many users, with room for half as many more. */
export function bitsFor(users: number): number {
  return Math.min(mostBits, Math.max(fewestBits, 2 ** Math.ceil(Math.log2(users * bitsPerUser * 1.5 + 1))));
}

const addScript = defineScript(`
for _, bit in ipairs(ARGV) do redis.call('SETBIT', KEYS[1], bit, 1) end
-- A sweep that gave up leaves it behind.
redis.call('PEXPIRE', KEYS[1], ${30 * 86_400_000})
return 1
`);

const missingScript = defineScript(`
local missing = {}
for user = 0, #ARGV / ${hashes} - 1 do
  for hash = 1, ${hashes} do
    if redis.call('GETBIT', KEYS[1], ARGV[user * ${hashes} + hash]) == 0 then
      missing[#missing + 1] = user
      break
    end
  end
end
return missing
`);

/** The filters, over one connection. */
export function createSeenUsers({ redis, keys }: { redis: Redis; keys: Keys }): SeenUsers {
  const key = ({ number }: SweepMark) => keys.ledgerPart(`sweep:seen:${number}`);
  return {
    async add(sweep, userIds) {
      if (userIds.length > 0) await addScript(redis, [key(sweep)], places(sweep, userIds));
    },
    async missing(sweep, userIds) {
      if (userIds.length === 0) return [];
      const indexes = (await missingScript(redis, [key(sweep)], places(sweep, userIds))) as number[];
      return indexes.flatMap((index) => userIds[index] ?? []);
    },
    async forget(sweep) {
      await redis.unlink(key(sweep));
    },
  };
}

function places({ number, bits }: SweepMark, userIds: readonly string[]): number[] {
  return userIds.flatMap((userId) => {
    const digest = createHash("sha1").update(`${number}:${userId}`).digest();
    return Array.from({ length: hashes }, (_, hash) => digest.readUInt32BE(hash * 4) % bits);
  });
}
