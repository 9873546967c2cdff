import { countExisting, countKeys, type RedisClient, scanKeys } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";

/** Number of records. */
export interface RecordCount {
  present: number;
  /** Tombstones. */
  deleted: number;
  /** False if the numbers are estimated from a sample of the keys. */
  exact: boolean;
}

/** Scans in a fraction of a second, and estimates a million records to within about one percent. */
const sampleSize = 50_000;
const step = 1_000;

/**
 * Counts records without blocking Redis: scans a sample of the keys and extrapolates. Redis scans in hash order, so any
 * stretch of keys is a random sample.
 */
export async function countRecords(redis: RedisClient, keys: Keys): Promise<RecordCount> {
  let [scanned, found, present, cursor] = [0, 0, 0, "0"];
  do {
    const [next, names] = await scanKeys(redis, cursor, { count: step });
    const userIds = names.flatMap((name) => keys.flagsOwner(name) ?? []);
    // A deleted user has a flags record but no profile record.
    present += await countExisting(redis, userIds.map(keys.profile));
    [scanned, found, cursor] = [scanned + names.length, found + userIds.length, next];
  } while (cursor !== "0" && scanned < sampleSize);
  const exact = cursor === "0";
  const scale = exact || scanned === 0 ? 1 : Math.max(1, (await countKeys(redis)) / scanned);
  return { present: Math.round(present * scale), deleted: Math.round((found - present) * scale), exact };
}
