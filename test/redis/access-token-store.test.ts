import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createRedisTokenStore } from "../../src/redis/access-token-store.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";

let redis: Redis;
beforeEach(() => {
  redis = new Redis(testRedisUrl());
});
afterEach(() => redis.quit());

const application = { domain: "https://acme.kinde.com", clientId: "one", audience: "https://acme.kinde.com/api" };

it("releases a lock that Redis grants after the caller timed out", async () => {
  const options = { ...application, keys: createKeys(uniquePrefix()), now: Date.now, lockMs: 60_000 };
  let calls = 0;
  const late = Object.assign(Object.create(redis) as Redis, {
    async evalsha(...args: [digest: string, keys: number, lock: string, holder: string]) {
      calls += 1;
      if (calls > 1) return redis.evalsha(...args);
      await redis.set(args[2], args[3]);
      throw new Error("Command timed out");
    },
  });
  const task = async () => undefined;
  await expect(createRedisTokenStore({ ...options, redis: late }).exclusively(task)).rejects.toThrow("timed out");
  const store = createRedisTokenStore({ ...options, redis });
  await until(async () => expect(await store.exclusively(task)).toBe(true));
});

it.each([
  ["domain", { domain: "https://other.kinde.com" }],
  ["client id", { clientId: "two" }],
  ["audience", { audience: "https://other.kinde.com/api" }],
])("keeps a separate token for each %s", async (_name, difference) => {
  const options = { redis, keys: createKeys(uniquePrefix()), now: Date.now, lockMs: 60_000 };
  const token = { token: "of-acme", issuedAt: Date.now(), expiresAt: Date.now() + 5_000 };
  await createRedisTokenStore({ ...options, ...application }).write(token);
  const other = createRedisTokenStore({ ...options, ...application, ...difference });
  expect(await other.read()).toBeUndefined();
  await other.forget("of-acme");
  expect(await createRedisTokenStore({ ...options, ...application }).read()).toEqual(token);
});
