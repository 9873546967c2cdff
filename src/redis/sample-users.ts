import type { Redis } from "ioredis";
import type { Keys } from "./keys.ts";

/** Keys looked at from one random place: about a millisecond of Redis' time, and enough where most keys are others'. */
const stretch = 1_000;
/** Places without a new record after which the search is given up: the store holds hardly any, or little else but others' keys. */
const mostMisses = 200;

/**
 * Ids of users with a record, tombstones included, drawn at random: each from another place in Redis' walk over its keys,
 * which goes in the order of their hashes. Fewer than asked for where there are no more.
 */
export async function sampleUsers(redis: Redis, keys: Keys, size: number, random = Math.random): Promise<string[]> {
  const scan = (place: string, count: number) => redis.scan(place, "MATCH", keys.flags("*"), "COUNT", count);
  // Past the end it goes on at the start, or whoever stands there would hardly ever be drawn. How much of the stretch is
  // left by then Redis does not tell: as any part of it is as likely, a random one will do.
  const namesFrom = async (place: string): Promise<string[]> => {
    const [next, names] = await scan(place, stretch);
    if (next !== "0") return names;
    return [...names, ...(await scan("0", 1 + Math.floor(random() * stretch)))[1]];
  };
  const found = new Set<string>();
  let misses = 0;
  while (found.size < size && misses < mostMisses) {
    const names = await namesFrom(randomPlace(random));
    const fresh = names.flatMap((name) => keys.flagsOwner(name) ?? []).filter((id) => !found.has(id));
    const one = fresh[Math.floor(random() * fresh.length)];
    if (one !== undefined) found.add(one);
    misses = one === undefined ? misses + 1 : 0;
  }
  return [...found];
}

// A cursor counts from its highest bit down: any number will do, Redis takes the bits that its table has.
function randomPlace(random: () => number): string {
  return String(Math.floor(random() * 2 ** 48));
}
