import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createCounters } from "../../src/redis/counters.ts";
import { createRefreshRequests, mostRequests, type RefreshRequests } from "../../src/redis/refresh-requests.ts";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
let requests: RefreshRequests;
let dropped: ReturnType<typeof createCounters>;

beforeEach(async () => {
  const { redis, keys } = context;
  await redis.del(keys.refreshRequests.now, keys.refreshRequests.later, keys.droppedRefreshRequests);
  dropped = createCounters(redis, keys.droppedRefreshRequests);
  const blocking = new Redis(testRedisUrl(), { maxRetriesPerRequest: null });
  const onError = (error: unknown) => expect.unreachable(String(error));
  requests = createRefreshRequests({ redis, blocking, keys, dropped, onError });
});

afterEach(() => requests.close());

const add = (...pairs: (number | string)[]) =>
  context.redis.zadd(context.keys.refreshRequests.now, ...(pairs as [number, string]));
const left = () => context.redis.zcard(context.keys.refreshRequests.now);

it("takes no more than it is asked for", async () => {
  await add(3, testUser(3), 1, testUser(1), 2, testUser(2));
  expect(await requests.take("now", 2)).toEqual([
    { userId: testUser(1), freshSince: 1 },
    { userId: testUser(2), freshSince: 2 },
  ]);
  expect(await requests.take("now", 0)).toEqual([]);
  expect(await requests.take("later", 2)).toEqual([]);
  expect(await left()).toBe(1);
});

it("waits for requests and prefers those that a reader waits for", async () => {
  await context.redis.zadd(context.keys.refreshRequests.later, 1, testUser(2));
  await add(5, testUser(1));
  expect(await requests.wait(["now", "later"], 1)).toEqual({
    urgency: "now",
    requests: [{ userId: testUser(1), freshSince: 5 }],
  });
  expect(await requests.wait(["now", "later"], 1)).toMatchObject({ urgency: "later" });
  const waiting = requests.wait(["now"], 10);
  await add(6, testUser(3));
  expect(await waiting).toMatchObject({ urgency: "now", requests: [{ userId: testUser(3) }] });
  expect(await requests.wait(["now", "later"], 0.05)).toBeUndefined();
});

it("drops and counts members that are no user ids, and ages that are no times", async () => {
  await add(1, "nobody", 2, "kp_../x", 3, "x".repeat(68), 4, testUser(1), "+inf", testUser(2));
  expect(await requests.take("now", 10)).toEqual([{ userId: testUser(1), freshSince: 4 }]);
  await add(1, "nobody");
  expect(await requests.wait(["now"], 1)).toEqual({ urgency: "now", requests: [] });
  expect(await dropped.read()).toEqual({ malformed: 4, oversize: 1 });
});

it("takes a time ahead of Redis' clock for the present, which a fetch can satisfy", async () => {
  await add(Date.now() + 3_600_000, testUser(1), 1e300, testUser(2));
  const taken = [...(await requests.take("now", 1)), ...((await requests.wait(["now"], 1))?.requests ?? [])];
  expect(taken.map(({ userId }) => userId)).toEqual([testUser(1), testUser(2)]);
  for (const { freshSince } of taken) expect(Math.abs(freshSince - Date.now())).toBeLessThan(60_000);
});

it("keeps the latest requests of too many, also while it takes none", async () => {
  const flood = mostRequests * 2 + 500;
  await add(...Array.from({ length: flood }, (_, n) => [n, testUser(n)]).flat());
  expect(await requests.take("now", 0)).toEqual([]);
  expect(await left()).toBe(mostRequests);
  expect(await requests.take("now", 1)).toEqual([
    { userId: testUser(flood - mostRequests), freshSince: flood - mostRequests },
  ]);
  expect(await dropped.read()).toEqual({ overflow: flood - mostRequests });
});

it("drops a set of too many bytes, also while it takes none from it", async () => {
  await add(1, testUser(1), ...Array.from({ length: 3 }, (_, n) => ["+inf", `${n}${"x".repeat(2_000_000)}`]).flat());
  expect(await requests.take("now", 0)).toEqual([]);
  expect(await left()).toBe(0);
  expect(await dropped.read()).toEqual({ oversize: 4 });
});
