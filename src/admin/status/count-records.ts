import type { Redis } from "ioredis";
import type { Keys } from "../../cache/keys.ts";

/** How many records there are. */
export interface RecordCount {
  present: number;
  /** Tombstones. */
  deleted: number;
  /** False: estimated from a sample of the keys. */
  exact: boolean;
}

/** Keys looked at: what takes a few milliseconds and tells a million within about a percent. */
const sampleSize = 20_000;
const step = 1_000;

/**
 * Counts records without blocking Redis: a walk that ends after a sample of the keys and scales it up. Redis walks its
 * keys in the order of their hashes, so any stretch is a fair sample.
 */
export async function countRecords(redis: Redis, keys: Keys): Promise<RecordCount> {
  const flagsPrefix = keys.flags("").slice(0, -1);
  const profilePrefix = keys.profile("").slice(0, -1);
  let [seen, flags, profiles, cursor] = [0, 0, 0, "0"];
  do {
    const [next, found] = await redis.scan(cursor, "COUNT", step);
    cursor = next;
    seen += found.length;
    flags += found.filter((key) => key.startsWith(flagsPrefix)).length;
    profiles += found.filter((key) => key.startsWith(profilePrefix)).length;
  } while (cursor !== "0" && seen < sampleSize);
  const exact = cursor === "0";
  const scale = exact || seen === 0 ? 1 : Math.max(1, (await redis.dbsize()) / seen);
  // Of a user present both keys are there, of a deleted one the flags alone.
  return {
    present: Math.round(profiles * scale),
    deleted: Math.round(Math.max(0, flags - profiles) * scale),
    exact,
  };
}
