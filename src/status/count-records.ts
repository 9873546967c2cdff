import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";

/** How many records there are. */
export interface RecordCount {
  present: number;
  /** Tombstones. */
  deleted: number;
  /** False: estimated from a sample of the keys. */
  exact: boolean;
}

/** Keys looked at: what takes a fraction of a second and tells a million within about a percent. */
const sampleSize = 50_000;
const step = 1_000;

/**
 * Counts records without blocking Redis: a walk that ends after a sample of the keys and scales it up. Redis walks its
 * keys in the order of their hashes, so any stretch is a fair sample.
 */
export async function countRecords(redis: Redis, keys: Keys): Promise<RecordCount> {
  let [seen, found, present, cursor] = [0, 0, 0, "0"];
  do {
    const [next, names] = await redis.scan(cursor, "COUNT", step);
    const userIds = names.flatMap((name) => keys.flagsOwner(name) ?? []);
    // Of a user present both keys are there, of a deleted one the flags alone.
    if (userIds.length > 0) present += await redis.exists(userIds.map(keys.profile));
    [seen, found, cursor] = [seen + names.length, found + userIds.length, next];
  } while (cursor !== "0" && seen < sampleSize);
  const exact = cursor === "0";
  const scale = exact || seen === 0 ? 1 : Math.max(1, (await redis.dbsize()) / seen);
  return { present: Math.round(present * scale), deleted: Math.round((found - present) * scale), exact };
}
