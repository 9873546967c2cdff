import type { Redis } from "ioredis";

/** Counters of the whole fleet, by name. */
export interface Counters {
  /** Adds to the counters. Use a fixed set of names: each takes memory for good. */
  add(counts: Readonly<Record<string, number>>): Promise<void>;
  read(): Promise<Record<string, number>>;
}

/** Opens the counters in the hash `key`. */
export function createCounters(redis: Redis, key: string): Counters {
  return {
    async add(counts) {
      const transaction = redis.multi();
      for (const [name, count] of Object.entries(counts)) transaction.hincrby(key, name, count);
      await transaction.exec();
    },
    async read() {
      const fields = await redis.hgetall(key);
      return Object.fromEntries(Object.entries(fields).map(([name, count]) => [name, Number(count) || 0]));
    },
  };
}
