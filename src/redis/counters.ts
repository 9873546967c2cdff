import type { RedisClient } from "./client.ts";

/** Counters of the whole fleet, by name. */
export interface Counters {
  /** Adds to the counters. Use a fixed set of names: each takes memory for good. */
  add(counts: Readonly<Record<string, number>>): Promise<void>;
  read(): Promise<Record<string, number>>;
}

/** Counters that are written now and then, so that counting costs no round trip. */
export interface BufferedCounters {
  /** Adds one. Use a fixed set of names: each takes memory for good. */
  count(name: string): void;
  /** Reads the counters of the whole fleet, without what its processes have not written yet. */
  read(): Promise<Record<string, number>>;
  /** Writes what is not written yet. */
  close(): Promise<void>;
}

/** How long counts wait to be written, in milliseconds. A process that is killed loses them. */
const writeMs = 2_000;

/** Buffers counters in the memory of this process. Counts that could not be written wait for the next write. */
export function bufferCounters(counters: Counters, onError: (error: unknown) => void): BufferedCounters {
  const unwritten = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;

  const add = (name: string, count: number) => {
    unwritten.set(name, (unwritten.get(name) ?? 0) + count);
    timer ??= setTimeout(write, writeMs).unref();
  };
  const write = async () => {
    clearTimeout(timer);
    timer = undefined;
    if (unwritten.size === 0) return;
    const counts = Object.fromEntries(unwritten);
    unwritten.clear();
    await counters.add(counts).catch((error: unknown) => {
      for (const [name, count] of Object.entries(counts)) add(name, count);
      onError(error);
    });
  };
  return {
    count: (name) => add(name, 1),
    read: counters.read,
    async close() {
      await write();
      clearTimeout(timer);
    },
  };
}

/** Opens the counters in the hash `key`. */
export function createCounters(redis: RedisClient, key: string): Counters {
  return {
    async add(counts) {
      const transaction = redis.multi();
      for (const [name, count] of Object.entries(counts)) transaction.hincrby(key, name, count);
      const results = await transaction.exec();
      // A command that Redis refuses inside a transaction does not reject it.
      const refused = results?.find(([error]) => error !== null)?.[0];
      if (refused) throw refused;
    },
    async read() {
      const fields = await redis.hgetall(key);
      return Object.fromEntries(Object.entries(fields).map(([name, count]) => [name, Number(count) || 0]));
    },
  };
}
