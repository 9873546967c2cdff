import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createActivity } from "../../src/redis/activity.ts";
import { bufferCounters, createCounters } from "../../src/redis/counters.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();
const failOn = (error: unknown) => {
  throw error;
};

beforeEach(async () => {
  await context.redis.del(context.keys.activity);
});

describe("buffered counters", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("of all processes add up, and are written within two seconds", async () => {
    const counters = createCounters(context.redis, context.keys.activity);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [one, other] = [bufferCounters(counters, failOn), bufferCounters(counters, failOn)];
    for (let n = 0; n < 3; n += 1) one.count("a");
    other.count("a");
    expect(await counters.read()).toEqual({});
    vi.advanceTimersByTime(2_000);
    vi.useRealTimers();
    await vi.waitFor(async () => expect(await one.read()).toEqual({ a: 4 }));
  });

  it("keep what could not be written, also when a single command is refused", async () => {
    const { redis, keys } = context;
    const errors: unknown[] = [];
    const counters = bufferCounters(createCounters(redis, keys.activity), (error) => errors.push(error));
    await redis.set(keys.activity, "not a hash");
    counters.count("a");
    await counters.close();
    expect(errors).toHaveLength(1);
    await redis.del(keys.activity);
    counters.count("b");
    await counters.close();
    expect(await counters.read()).toEqual({ a: 1, b: 1 });
  });
});

describe("activity", () => {
  it("keeps the labels of each kind, whatever they contain", async () => {
    const { redis, keys } = context;
    const activity = createActivity(redis, keys.activity, failOn);
    activity.countAnswer("POST /v1/users/{id}/properties", 200);
    activity.countCall("GET /api/v1/user", 429);
    activity.countCall("GET /api/v1/user", "failed");
    activity.countRefresh("event", "committed");
    activity.countRefresh("event", "committed");
    activity.countMisfit("tier:of the\nuser");
    await activity.close();
    await redis.hset(keys.activity, "what a later release counts", 1);
    expect(await activity.read()).toEqual({
      answers: [{ route: "POST /v1/users/{id}/properties", status: "200", count: 1 }],
      calls: [
        { route: "GET /api/v1/user", status: "429", count: 1 },
        { route: "GET /api/v1/user", status: "failed", count: 1 },
      ],
      refreshes: [{ cause: "event", outcome: "committed", count: 2 }],
      misfits: [{ flag: "tier:of the\nuser", count: 1 }],
    });
  });
});
