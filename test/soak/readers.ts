import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../campaign/sim/random.ts";

type Read = (userId: string, demands: { maxAge?: number; wait?: number }) => Promise<{ status: string }>;

/** Options for {@link readAlways}. */
export interface ReadOptions {
  fromRedis: Read;
  overHttp: Read;
  ids: readonly string[];
  random: Random;
  fail: (promise: string, detail: string) => void;
  signal: AbortSignal;
}

const readsPerSecond = 50;

/** Reads random users as apps do, until the signal aborts. Returns the number of answers by status. */
export async function readAlways(options: ReadOptions): Promise<Map<string, number>> {
  const { fromRedis, overHttp, ids, random, fail, signal } = options;
  const counts = new Map<string, number>();
  const reading = new Set<Promise<void>>();
  const read = async () => {
    const id = random.pick(ids);
    const get = random.chance(0.2) ? overHttp : fromRedis;
    const demands = random.chance(0.05) ? { maxAge: 5_000, wait: 500 } : {};
    try {
      const { status } = await get(id, demands);
      counts.set(status, (counts.get(status) ?? 0) + 1);
    } catch (error) {
      fail("reads never fail the page", String(error));
    }
  };
  while (!signal.aborted) {
    const one = read().finally(() => reading.delete(one));
    reading.add(one);
    await delay(1000 / readsPerSecond);
  }
  await Promise.all(reading);
  return counts;
}
