import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { laterConnections } from "./later-connections.ts";
import { testRedisUrl } from "./redis-url.ts";
import { until } from "./until.ts";

// Fails a file that leaves a connection to Redis open. Files share processes, and others can use the Redis in REDIS_URL.
if (process.env.REDIS_URL === undefined) {
  let redis: Redis;
  let failed = false;

  beforeAll(async () => {
    redis = new Redis(testRedisUrl());
    await redis.ping();
  });

  // A test that fails has often not reached the end, where it closes what it opened. Called for each attempt.
  afterEach(({ task }) => {
    failed ||= task.result?.state === "fail";
  });

  afterAll(async () => {
    try {
      if (!failed) await until(async () => expect(await laterConnections(redis)).toEqual([]), 10_000);
    } finally {
      redis.disconnect();
    }
  });
}
