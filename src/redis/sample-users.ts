import type { Redis } from "ioredis";
import { primaries, type RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";

/** Keys per `SCAN`: about a millisecond of Redis' time, and enough if most keys belong to other applications. */
const scanCount = 1_000;
/** Consecutive positions without a new user before sampling stops: the store holds few other users. */
const maxMisses = 200;

/** Options for {@link sampleUsers}. */
export interface SampleOptions {
  random?: () => number;
  /** Draws only users with a profile: those without a tombstone. Default: false. */
  withProfile?: boolean;
}

/**
 * Returns ids of random users with a record, by default tombstones included. Starts each `SCAN` at a random position, because Redis
 * walks its keys in the order of their hashes. Returns fewer than `size` if there are not enough users.
 */
export async function sampleUsers(
  redis: RedisClient,
  keys: Keys,
  size: number,
  { random = Math.random, withProfile = false }: SampleOptions = {},
): Promise<string[]> {
  const draw = await drawPrimary(redis, random);
  const pattern = withProfile ? keys.profiles : keys.flags("*");
  const ownerOf = withProfile ? keys.userOf : keys.flagsOwner;
  // A scan that reaches the end continues at the start, or users there would hardly ever be drawn. Redis does not say
  // how much of the count is left. Every remainder is equally likely, so a random one keeps the sample uniform.
  const scanFrom = async (cursor: string): Promise<string[]> => {
    const primary = draw();
    const scan = (from: string, count: number) => primary.scan(from, "MATCH", pattern, "COUNT", count);
    const [next, found] = await scan(cursor, scanCount);
    if (next !== "0") return found;
    const [, foundAtStart] = await scan("0", 1 + Math.floor(random() * scanCount));
    return [...found, ...foundAtStart];
  };
  const sample = new Set<string>();
  let misses = 0;
  while (sample.size < size && misses < maxMisses) {
    const found = await scanFrom(randomCursor(random));
    const candidates = found.flatMap((key) => ownerOf(key) ?? []).filter((userId) => !sample.has(userId));
    const userId = candidates[Math.floor(random() * candidates.length)];
    if (userId !== undefined) sample.add(userId);
    misses = userId === undefined ? misses + 1 : 0;
  }
  return [...sample];
}

/** Returns a function that draws a primary, each as often as it has keys. */
async function drawPrimary(redis: RedisClient, random: () => number): Promise<() => Redis> {
  const [first, ...others] = primaries(redis);
  if (first === undefined) throw new Error("The cluster has no masters.");
  if (others.length === 0) return () => first;
  const weighted = await Promise.all(
    [first, ...others].map(async (primary) => ({ primary, keys: await primary.dbsize() })),
  );
  const total = weighted.reduce((sum, { keys }) => sum + keys, 0);
  return () => {
    let place = random() * total;
    for (const { primary, keys } of weighted) {
      place -= keys;
      if (place < 0) return primary;
    }
    return first;
  };
}

// Any number is a valid cursor: Redis uses only as many bits as its hash table has.
function randomCursor(random: () => number): string {
  return String(Math.floor(random() * 2 ** 48));
}
