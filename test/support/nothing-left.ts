import { Redis } from "ioredis";
import { afterAll, expect } from "vitest";
import { testRedisUrl } from "./redis-url.ts";
import { until } from "./until.ts";

/** Fails a file that leaves a connection to Redis: the next file in its process would have one more than it opened. */
afterAll(async () => {
  // Somebody else may be connected to a Redis that the tests did not start.
  if (process.env.REDIS_URL) return;
  const redis = new Redis(testRedisUrl());
  try {
    await until(async () => expect(await otherConnections(redis)).toEqual([]), 10_000);
  } finally {
    redis.disconnect();
  }
});

async function otherConnections(redis: Redis): Promise<string[]> {
  const own = `id=${await redis.client("ID")} `;
  const clients = String(await redis.client("LIST"))
    .trim()
    .split("\n");
  return clients.filter((line) => line.includes(` db=${redis.options.db} `) && !line.startsWith(own));
}
