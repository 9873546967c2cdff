import { getEventListeners, setMaxListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { ThrottledError } from "../../src/errors.ts";
import { gainPerMinute } from "../../src/kinde/call-budget.ts";
import { fetchUser } from "../../src/kinde/fetch-user.ts";
import type { ManagementApi } from "../../src/kinde/management-api.ts";
import { createCallBudget } from "../../src/redis/call-budget.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { useRedis } from "../support/redis.ts";
import { uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";

const context = useRedis();

function budgets(perMinute: number, atOnce: number, processes = 2, leaseMs = 60_000) {
  const keys = createKeys(`${context.keys.prefix}:${uniquePrefix()}`);
  return Array.from({ length: processes }, () =>
    createCallBudget({ redis: context.redis, keys, perMinute, atOnce, leaseMs }),
  );
}

/** A call that runs until `end` is called. */
function openCall() {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  return {
    begun,
    end,
    call: () => {
      begin();
      return ended;
    },
  };
}

describe("call budget", () => {
  it("limits concurrent calls across processes", async () => {
    const processes = budgets(1_000_000, 3);
    let running = 0;
    let most = 0;
    const call = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    };
    await Promise.all(Array.from({ length: 40 }, (_, n) => processes[n % 2]?.run("webhook", call)));
    expect(most).toBeLessThanOrEqual(3);
    expect(most).toBeGreaterThan(1);
    // The ends of the last calls are on their way.
    await until(async () => expect((await processes[0]?.state())?.inUse).toBe(0));
  });

  it.each([
    [60_000, 20_000],
    [60_000, 30_000],
    [60_000, 600_000],
  ])("gains in the long run what is said of %i calls a minute and %i at once", async (perMinute, atOnce) => {
    const keys = createKeys(`${context.keys.prefix}:${uniquePrefix()}`);
    const budget = createCallBudget({ redis: context.redis, keys, perMinute, atOnce, leaseMs: 60_000 });
    const [seconds = 0] = await context.redis.time();
    // Empty six seconds ago.
    await context.redis.hset(keys.callBudget, { level: 0, at: Number(seconds) * 1000 - 6_000 });
    const { available } = await budget.state();
    const expected = gainPerMinute({ perMinute, atOnce }) / 10;
    // The clock went on by less than a second since, plus what the calls here took.
    expect(available).toBeGreaterThanOrEqual(expected);
    expect(available).toBeLessThan(expected * 1.3);
  });

  it("refuses calls beyond the limit per minute and says when to retry", async () => {
    const [budget] = budgets(6, 4, 1);
    const made: number[] = [];
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, (_, n) => budget?.run("webhook", async () => made.push(n), { patienceMs: 0 })),
    );
    expect(made).toHaveLength(3);
    const refused = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as ThrottledError] : [],
    );
    expect(refused).toHaveLength(3);
    for (const error of refused) {
      expect(error).toBeInstanceOf(ThrottledError);
      expect(error.retryAfterMs).toBeGreaterThan(18_000);
      expect(error.retryAfterMs).toBeLessThanOrEqual(20_000);
    }
  });

  it("reserves a quarter of the concurrency for webhook work", async () => {
    const [budget] = budgets(1_000_000, 4, 1);
    const calls = Array.from({ length: 5 }, openCall);
    const bulk = calls.slice(0, 4).map(({ call }) => budget?.run("bulk", call).catch((error: unknown) => error));
    await Promise.all(calls.slice(0, 3).map(({ begun }) => begun));
    const webhook = budget?.run("webhook", calls[4]?.call ?? (async () => {}));
    await calls[4]?.begun;
    expect((await budget?.state())?.inUse).toBe(4);
    for (const { end } of calls) end();
    await Promise.all([...bulk, webhook]);
  });

  it("reserves a quarter of the rate for webhook work", async () => {
    const [budget] = budgets(6, 8, 1);
    const outcomes = async (priority: "webhook" | "bulk", n: number) =>
      (
        await Promise.allSettled(
          Array.from({ length: n }, () => budget?.run(priority, async () => 1, { patienceMs: 0 })),
        )
      ).filter(({ status }) => status === "fulfilled").length;
    expect(await outcomes("bulk", 8)).toBe(2);
    expect(await outcomes("webhook", 8)).toBe(1);
  });

  it.each([
    [10, 1],
    [3, 1],
  ])("gives readers' requests calls of %i a minute, too", async (perMinute, atOnce) => {
    const [budget] = budgets(perMinute, atOnce, 1);
    expect(await budget?.run("request", async () => "made")).toBe("made");
  });

  it("gives readers' requests half of the rate, and leaves bulk work and webhooks their shares", async () => {
    // A burst of 60 calls; too slow a refill to matter.
    const [first, second] = [...budgets(120, 100, 1), ...budgets(120, 100, 1)];
    const granted = async (priority: "webhook" | "request" | "bulk", budget = first) => {
      let calls = 0;
      for (;;) {
        const error = await budget
          ?.run(priority, async () => 1, { patienceMs: 0 })
          .then(
            () => undefined,
            (reason: unknown) => reason,
          );
        if (error !== undefined) return { calls, error: error as ThrottledError };
        calls += 1;
      }
    };
    const between = ({ calls }: { calls: number }, least: number) => {
      expect(calls).toBeGreaterThanOrEqual(least);
      expect(calls).toBeLessThanOrEqual(least + 3);
    };
    const requests = await granted("request");
    between(requests, 30);
    // At half of the rate, one call takes two seconds.
    expect(requests.error.retryAfterMs).toBeGreaterThan(0);
    expect(requests.error.retryAfterMs).toBeLessThanOrEqual(2_000);
    between(await granted("bulk"), 15);
    expect((await granted("request")).calls).toBeLessThanOrEqual(1);
    between(await granted("webhook"), 15);

    between(await granted("bulk", second), 45);
    expect((await granted("request", second)).calls).toBeLessThanOrEqual(1);
    between(await granted("webhook", second), 15);
  });

  it("gives waiting bulk work a tenth of the rate, however many calls events need", async () => {
    const keys = createKeys(`${context.keys.prefix}:${uniquePrefix()}`);
    const limits = { redis: context.redis, keys, perMinute: 60_000, atOnce: 1_000, leaseMs: 60_000 };
    const [events, sweeps] = [createCallBudget(limits), createCallBudget(limits)];
    const [seconds = 0] = await context.redis.time();
    await context.redis.hset(keys.callBudget, { level: 0, at: (Number(seconds) + 1) * 1000 });
    const patienceMs = 60_000;
    let made = 0;
    let over = false;
    const makeCalls = async () => {
      while (!over) await events.run("webhook", async () => (made += 1), { patienceMs });
    };
    const busy = Array.from({ length: 200 }, makeCalls);
    await until(() => expect(made).toBeGreaterThan(100));
    const before = made;
    for (let n = 0; n < 50; n += 1) await sweeps.run("bulk", async () => {}, { patienceMs });
    // They ask in turn, so the shares are not exact.
    expect(made - before).toBeGreaterThan(50 * 5);
    over = true;
    await Promise.all(busy);
  });

  it("leaves the last call of the budget to waiting bulk work, but no second one", async () => {
    const keys = createKeys(`${context.keys.prefix}:${uniquePrefix()}`);
    const [events, sweeps] = [1, 2].map(() =>
      createCallBudget({ redis: context.redis, keys, perMinute: 6, atOnce: 4, leaseMs: 60_000 }),
    );
    const [seconds = 0] = await context.redis.time();
    const now = Number(seconds) * 1000;
    await context.redis.hset(keys.callBudget, { level: 1.5, at: now, bulkLevel: 1, bulkUntil: now + 60_000 });
    const refused = { name: "ThrottledError" };
    const impatient = { patienceMs: 0 };
    await expect(events?.run("webhook", async () => "made", impatient)).rejects.toMatchObject(refused);
    expect(await sweeps?.run("bulk", async () => "made", impatient)).toBe("made");
    await context.redis.hset(keys.callBudget, { level: 1.5 });
    await expect(sweeps?.run("bulk", async () => "made", impatient)).rejects.toMatchObject(refused);
    expect(await events?.run("webhook", async () => "made", impatient)).toBe("made");
  });

  it.each([4, 1])("gives waiting bulk work one of %i places, however many calls of events wait", async (atOnce) => {
    const [events, sweeps] = budgets(1_000_000, atOnce);
    for (let n = 0; n < 10; n += 1) await events?.run("webhook", async () => {});
    const begun: string[] = [];
    const calls = Array.from({ length: 200 }, openCall);
    const patienceMs = 60_000;
    const make = (call: () => Promise<void>) => () => {
      begun.push("webhook");
      return call();
    };
    const running = calls.map(({ call }) => events?.run("webhook", make(call), { patienceMs }));
    await until(() => expect(begun).toHaveLength(atOnce));
    const swept = sweeps?.run("bulk", async () => begun.push("bulk"), { patienceMs });
    // Another one waits for each place that is given up.
    for (const [index, { end }] of calls.entries()) {
      await calls[index + atOnce - 1]?.begun;
      end();
    }
    await Promise.all([...running, swept]);
    expect(begun.indexOf("bulk")).toBeLessThan(calls.length);
  });

  it("leaves a quarter of the places to events all the same if bulk work runs enough calls", async () => {
    const [budget] = budgets(1_000_000, 4, 1);
    const calls = Array.from({ length: 4 }, openCall);
    const bulk = calls.map(({ call }) => budget?.run("bulk", call, { patienceMs: 60_000 }));
    await Promise.all(calls.slice(0, 3).map(({ begun }) => begun));
    for (let n = 0; n < 30; n += 1) await budget?.run("webhook", async () => {});
    await until(async () => expect((await budget?.state())?.inUse).toBe(3));
    for (const { end } of calls) end();
    await Promise.all(bulk);
  });

  it("pauses all processes, until the later end of two pauses", async () => {
    const [first, second] = budgets(1_000_000, 10);
    await first?.pause(60_000);
    await second?.pause(1_000);
    for (const budget of [first, second]) {
      const error: unknown = await budget?.run("webhook", async () => 1).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ThrottledError);
      expect((error as ThrottledError).retryAfterMs).toBeGreaterThan(55_000);
    }
    expect((await first?.state())?.pausedMs).toBeGreaterThan(55_000);
  });

  it("stops calls about a limited subject in all processes, and no others", async () => {
    const [first, second] = budgets(1_000_000, 10);
    expect(await first?.limit("kp_1", 60_000)).toBe("one");
    for (const budget of [first, second]) {
      const refused = budget?.run("webhook", async () => 1, { subject: "kp_1" });
      await expect(refused).rejects.toMatchObject({ scope: "one", retryAfterMs: expect.closeTo(60_000, -4) });
      expect(await budget?.run("webhook", async () => 1, { subject: "kp_2" })).toBe(1);
      expect(await budget?.state()).toMatchObject({ pausedMs: 0, limited: 1 });
    }
  });

  it("pauses all calls with the third limited subject in a row", async () => {
    const [first, second] = budgets(1_000_000, 10);
    for (const subject of ["kp_1", "kp_1", "kp_1", "kp_2"]) expect(await first?.limit(subject, 60_000)).toBe("one");
    for (let call = 0; call < 5; call += 1) await second?.run("webhook", async () => 1);
    expect(await second?.limit("kp_3", 60_000)).toBe("all");
    expect((await first?.state())?.pausedMs).toBeGreaterThan(55_000);
    await expect(first?.run("webhook", async () => 1, { subject: "kp_4" })).rejects.toMatchObject({ scope: "all" });
  });

  it("does not pause all calls for a few limited subjects among many calls, but notices when the rest is limited too", async () => {
    const [budget] = budgets(1_000_000, 10, 1);
    for (const subject of ["kp_1", "kp_2", "kp_3", "kp_4"]) {
      expect(await budget?.limit(subject, 60_000)).toBe("one");
      for (let call = 0; call < 30; call += 1) await budget?.run("webhook", async () => 1);
    }
    expect(await budget?.state()).toMatchObject({ pausedMs: 0, limited: 4 });
    for (const [subject, scope] of Object.entries({ kp_5: "one", kp_6: "one", kp_7: "all" })) {
      expect(await budget?.limit(subject, 60_000)).toBe(scope);
    }
  });

  it("begins a new row once no subject is limited any more", async () => {
    const [budget] = budgets(1_000_000, 10, 1);
    for (const subject of ["kp_1", "kp_2"]) expect(await budget?.limit(subject, 50)).toBe("one");
    await expect.poll(async () => (await budget?.state())?.limited).toBe(0);
    expect(await budget?.limit("kp_3", 60_000)).toBe("one");
  });

  it("recovers the leases of a crashed process", async () => {
    const [budget] = budgets(1_000_000, 1, 1, 200);
    const never = openCall();
    void budget?.run("webhook", never.call);
    await never.begun;
    expect(await budget?.run("webhook", async () => "in")).toBe("in");
  });

  it("stops waiting when the signal aborts", async () => {
    const [budget] = budgets(1_000_000, 1, 1);
    const first = openCall();
    const running = budget?.run("webhook", first.call);
    await first.begun;
    const stopping = new AbortController();
    const waiting = budget?.run("webhook", async () => 1, { signal: stopping.signal });
    stopping.abort(new Error("shutting down"));
    await expect(waiting).rejects.toThrow("shutting down");
    first.end();
    await running;
  });

  it("bounds each caller's wait by its own patience, not that of callers ahead", async () => {
    const [budget] = budgets(1_000_000, 10, 1);
    await budget?.pause(60_000);
    const stopping = new AbortController();
    const patient = Array.from({ length: 5 }, () =>
      budget?.run("webhook", async () => 1, { patienceMs: 120_000, signal: stopping.signal }),
    );
    const error: unknown = await budget
      ?.run("webhook", async () => 1, { patienceMs: 50 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ThrottledError);
    // The answer comes from Redis, not from an estimate of the queue ahead.
    expect((error as ThrottledError).retryAfterMs).toBeGreaterThan(50_000);
    expect((error as ThrottledError).retryAfterMs).toBeLessThanOrEqual(60_000);
    stopping.abort(new Error("shutting down"));
    const ends = await Promise.allSettled(patient);
    expect(ends.map(({ status }) => status)).toEqual(Array(5).fill("rejected"));
  }, 10_000);

  it("rejects callers that abort or time out at once and keeps the others in order", async () => {
    const [budget] = budgets(1_000_000, 1, 1);
    const first = openCall();
    const running = budget?.run("webhook", first.call);
    await first.begun;
    const stopping = new AbortController();
    const made: string[] = [];
    const wait = (name: string, patienceMs: number, signal = new AbortController().signal) =>
      budget?.run("webhook", async () => made.push(name), { patienceMs, signal });
    const front = wait("front", 60_000);
    const aborted = wait("aborted", 60_000, stopping.signal);
    const second = wait("second", 60_000);
    const impatient = wait("impatient", 50);
    const third = wait("third", 60_000);
    stopping.abort(new Error("shutting down"));
    await expect(aborted).rejects.toThrow("shutting down");
    await expect(wait("too late", 60_000, stopping.signal)).rejects.toThrow("shutting down");
    await expect(impatient).rejects.toBeInstanceOf(ThrottledError);
    expect(made).toEqual([]);
    first.end();
    await Promise.all([running, front, second, third]);
    expect(made).toEqual(["front", "second", "third"]);
  }, 10_000);

  it("removes all listeners and timers after a wait", async () => {
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
    const [budget] = budgets(1_000_000, 1, 1);
    const { signal } = new AbortController();
    setMaxListeners(0, signal);
    // The files before this one in the same process leave timers of their own.
    const before = timers();
    const wait = { signal, patienceMs: 3_600_000 };
    await Promise.all(Array.from({ length: 200 }, () => budget?.run("webhook", async () => 1, wait)));
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(timers() - before).toBeLessThan(100);
  });

  it("grants the calls of others between those for a user of many organizations", async () => {
    const [budget] = budgets(1_200, 100, 1);
    // The burst.
    await Promise.all(Array.from({ length: 200 }, () => budget?.run("webhook", async () => 1)));
    const organizations = Array.from({ length: 60 }, (_, number) => `org_${number}`);
    const stopping = new AbortController();
    const call = { priority: "webhook", signal: stopping.signal } as const;
    let [inLine, most] = [0, 0];
    const api: Pick<ManagementApi, "get"> = {
      async get({ path, answer }, options) {
        const user = { id: "kp_1", organizations, roles: [], permissions: [], properties: [] };
        most = Math.max(most, ++inLine);
        await budget?.run(options.priority, async () => path, options).finally(() => --inLine);
        return answer.parse(user);
      },
    };
    const parts = new Set(["roles", "permissions"] as const);
    const fetched = fetchUser(api as ManagementApi, "kp_1", { ...call, parts }).catch((error: Error) => error.message);
    await expect.poll(() => inLine).toBeGreaterThan(2);
    // With no more patience than every first call has.
    expect(await budget?.run("webhook", async () => "made")).toBe("made");
    stopping.abort(new Error("seen enough"));
    expect(await fetched).toBe("seen enough");
    expect(most).toBeLessThanOrEqual(6);
  });
});
