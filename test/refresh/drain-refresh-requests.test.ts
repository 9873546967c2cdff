import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createAbsences } from "../../src/redis/absences.ts";
import { createCounters } from "../../src/redis/counters.ts";
import { createRefreshRequests } from "../../src/redis/refresh-requests.ts";
import { drainRefreshRequests } from "../../src/refresh/drain-refresh-requests.ts";
import { createRefreshQueues, type RefreshQueues } from "../../src/refresh/queues.ts";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";

const context = useRedis();
let queues: RefreshQueues;
let drain: { close(): Promise<void> };
let errors: unknown[];
let looks: number;

beforeEach(() => {
  const { redis, keys } = context;
  errors = [];
  looks = 0;
  const onError = (error: unknown) => errors.push(error);
  queues = createRefreshQueues({ redis, keys, onError });
  const blocking = new Redis(testRedisUrl(), { maxRetriesPerRequest: null });
  const dropped = createCounters(redis, keys.droppedRefreshRequests);
  const requests = createRefreshRequests({ redis, blocking, keys, dropped, onError });
  const take: typeof requests.take = (urgency, count) => {
    looks += 1;
    return requests.take(urgency, count);
  };
  const absences = createAbsences({ redis, keys, now: Date.now, gapMs: 0 });
  drain = drainRefreshRequests({ requests: { ...requests, take }, queues, absences, noteRead: () => {}, onError });
});

afterEach(async () => {
  await drain.close();
  await Promise.all([queues.refresh, queues.bulk, queues.requests, queues.fanout].map((queue) => queue.close()));
  expect(errors).toEqual([]);
});

const ask = (urgency: "now" | "later", from: number, count: number) =>
  context.redis.zadd(
    context.keys.refreshRequests[urgency],
    ...(Array.from({ length: count }, (_, n) => [1_000 + n, testUser(from + n)]).flat() as [number, string]),
  );
const left = (urgency: "now" | "later") => context.redis.zcard(context.keys.refreshRequests[urgency]);
const jobs = () => queues.requests.getJobCountByTypes("waiting", "prioritized");

it("leaves requests in Redis while enough jobs wait, and room for those that a reader waits for", async () => {
  await ask("later", 0, 300);
  await until(async () => expect(await jobs()).toBe(100));
  // The queue is full for `later`: however often the drain looks again, it takes no more.
  const before = looks;
  await ask("now", 1_000, 300);
  await until(async () => expect(await jobs()).toBe(200));
  await until(() => expect(looks).toBeGreaterThan(before + 20));
  expect({ jobs: await jobs(), now: await left("now"), later: await left("later") }).toEqual({
    jobs: 200,
    now: 200,
    later: 200,
  });
  const [next] = await queues.requests.getWaiting(0, 0);
  expect(next?.data.userId).toMatch(/^kp_0+[34]/);

  await queues.requests.obliterate({ force: true });
  await until(async () => expect(await left("now")).toBeLessThan(100));
});
