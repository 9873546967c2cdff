import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { testRedisUrl } from "./redis-url.ts";
import { until } from "./until.ts";

/** Fails a file that leaves a connection to Redis, of which the next file in its process would have one too many. */
let redis: Redis;
let before: ReadonlySet<string>;
let failed = false;

beforeAll(async () => {
  redis = new Redis(testRedisUrl());
  before = new Set(await connections());
});

// A test that fails has often not reached the end, where it closes what it opened. Called for each attempt.
afterEach(({ task }) => {
  failed ||= task.result?.state === "fail";
});

afterAll(async () => {
  try {
    if (failed) return;
    await until(async () => expect((await connections()).filter((id) => !before.has(id))).toEqual([]), 10_000);
  } finally {
    redis.disconnect();
  }
});

/** Ids of the clients connected to this file's database. Nobody else's, unless `REDIS_URL` names a Redis that others use. */
async function connections(): Promise<string[]> {
  const clients = String(await redis.client("LIST")).split("\n");
  return clients.flatMap((line) =>
    line.includes(` db=${redis.options.db} `) && !process.env.REDIS_URL ? (/^id=(\d+)/.exec(line)?.[1] ?? []) : [],
  );
}
