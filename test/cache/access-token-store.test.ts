import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, inject, it } from "vitest";
import { createRedisTokenStore } from "../../src/cache/access-token-store.ts";
import { createKeys } from "../../src/cache/keys.ts";
import { uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";

let redis: Redis;
beforeEach(() => {
  redis = new Redis(inject("redisUrl"));
});
afterEach(() => redis.quit());

it("leaves no lock behind that Redis grants after the wait for it was given up", async () => {
  const keys = createKeys(uniquePrefix());
  const options = { keys, now: Date.now, lockMs: 60_000 };
  const late = Object.assign(Object.create(redis) as Redis, {
    async set(key: string, value: string) {
      await redis.set(key, value);
      throw new Error("Command timed out");
    },
  });
  const task = async () => undefined;
  await expect(createRedisTokenStore({ ...options, redis: late }).exclusively(task)).rejects.toThrow("timed out");
  const store = createRedisTokenStore({ ...options, redis });
  await until(async () => expect(await store.exclusively(task)).toBe(true));
});
