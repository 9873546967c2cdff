import { Redis } from "ioredis";
import { afterAll, beforeAll } from "vitest";
import { createKeys, type Keys } from "../../src/redis/keys.ts";
import { testRedisUrl } from "./redis-url.ts";
import { uniquePrefix } from "./stack.ts";

/** A connection and a prefix for one test file. The keys are removed after it. */
export interface TestRedis {
  redis: Redis;
  keys: Keys;
}

export function useRedis(database?: number): TestRedis {
  const context = { keys: createKeys(uniquePrefix()) } as TestRedis;
  beforeAll(() => {
    context.redis = new Redis(testRedisUrl(database));
  });
  afterAll(async () => {
    const left = await context.redis.keys(`*${context.keys.prefix}*`);
    if (left.length > 0) await context.redis.del(left);
    context.redis.disconnect();
  });
  return context;
}
