import { beforeEach, describe, expect, it } from "vitest";
import { createPeak } from "../../src/redis/peak.ts";
import { addSamples, createIndexLag, nothingObserved, sampleLag } from "../../src/sweep/index-lag.ts";
import { createSweepPace, overdueMs, sweepBound, walkBoundMs } from "../../src/sweep/pace.ts";
import { nextStart } from "../../src/sweep/schedule.ts";
import { defaultPace, plannedSweep } from "../support/defaults.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

const onTime = { lateMs: 0, fetchMs: 0, lagMs: 0 };

describe("the pace of sweeps", () => {
  it.each([
    [1_000, 0.35, 35_000],
    [50_000, 0.1, 60_000],
    [100_000, 0.1, 110_000],
    // Longer than the interval allows: more of the budget instead.
    [1_000_000, 0.12, 920_000],
  ])("compares %i users at %d of the budget at most, within %i ms", (users, share, withinMs) => {
    const last = plannedSweep(users);
    const bound = sweepBound(last, defaultPace, { ...onTime, lagMs: 5_000 });
    expect(bound?.withinMs).toBeLessThanOrEqual(withinMs);
    const perMinute = (last.calls * 60_000) / (bound?.everyMs ?? 1);
    expect(perMinute / defaultPace.perMinute).toBeLessThanOrEqual(share);
  });

  it("states the duration of the last sweep if Kinde is slower than the plan", () => {
    const bound = sweepBound({ ...plannedSweep(50_000, 900), lateMs: 4_000 }, defaultPace, onTime);
    expect(bound?.withinMs).toBe(101 * 900 + 1_000 + 4_000 + 3_000);
  });

  it("states what the last sweeps measured if it is more than the allowance", () => {
    const late = { lateMs: 7_000, fetchMs: 5_500, lagMs: 0 };
    expect(sweepBound({ ...plannedSweep(1_000), lateMs: 4_000 }, defaultPace, late)?.withinMs).toBe(
      30_000 + 7_000 + 6_500,
    );
    const walk = { startedAt: 0, finishedAt: 200_000 };
    const delays = { watchMs: 30_000, settleMs: 20_000, fetchMs: 0 };
    const bounds = [walkBoundMs(walk, delays), walkBoundMs(walk, { ...delays, fetchMs: 5_500 })];
    expect(bounds).toEqual([423_000, 426_500]);
    expect(walkBoundMs({ startedAt: 0, finishedAt: 10_000 }, delays)).toBe(60_000 + 30_000 + 20_000 + 10_000 + 3_000);
  });

  it("counts a page and a walk that are overdue now for as long as they are", () => {
    const last = plannedSweep(50_000);
    const late = (calls: number | undefined, now: number) =>
      overdueMs(last, { dueAt: 100_000, calls }, defaultPace, now);
    expect([late(0, 99_000), late(0, 3_700_000)]).toEqual([0, 3_600_000]);
    expect([late(10, 105_000), late(10, 106_000), late(undefined, 160_500)]).toEqual([0, 1_000, 10_000]);
    const walk = { startedAt: 0, finishedAt: 200_000 };
    const delays = { watchMs: 30_000, settleMs: 20_000, fetchMs: 0 };
    const atRest = walkBoundMs(walk, delays);
    const bound = (now: number, startedAt?: number) =>
      walkBoundMs(walk, delays, { now, current: startedAt === undefined ? undefined : { startedAt } });
    expect([bound(200_000), bound(250_000, 200_000)]).toEqual([atRest, atRest]);
    // Nobody starts the next one; it starts late; it takes longer than the last one.
    expect(bound(1_000_000) - atRest).toBe(800_000);
    expect(bound(1_000_000, 900_000) - atRest).toBe(700_000);
    expect(bound(1_000_000, 200_000) - atRest).toBe(600_000);
  });

  it("states the plan if the last sweep ran at full speed, as one that fills does", () => {
    const planned = sweepBound(plannedSweep(100_000), defaultPace, onTime);
    expect(sweepBound({ ...plannedSweep(100_000), finishedAt: 20_000 }, defaultPace, onTime)).toEqual(planned);
    const share = { ...defaultPace, share: 0 };
    expect(sweepBound({ ...plannedSweep(10), finishedAt: 50 }, share, onTime)?.everyMs).toBe(901_000);
  });

  it("starts the next sweep half a minute after the last one began, at the latest when it has ended", () => {
    const last = plannedSweep(1_000);
    const next = (now: number, failedAt = 0) => nextStart(defaultPace, { last, failedAt, now });
    expect(next(5_000)).toBe(30_000);
    expect(next(60_000, 50_000)).toBe(950_000);
    expect(nextStart({ ...defaultPace, intervalMs: 10_000 }, { last, failedAt: 0, now: 1 })).toBe(10_000);
    // The clock stepped back.
    expect(next(-90_000)).toBe(-60_000);
  });

  it("is that of the process that started last, and commands only look at it", async () => {
    const others: object[] = [];
    const open = (intervalMs: number, share: number) =>
      createSweepPace({ ...context, own: { intervalMs, share }, onOther: (fleet) => others.push(fleet) });
    const command = open(1, 1);
    expect(await command.peek()).toEqual({ intervalMs: 1, share: 1 });
    const first = open(600_000, 0.1);
    expect(await first.read()).toEqual({ intervalMs: 600_000, share: 0.1 });
    await open(900_000, 0.2).read();
    expect(await first.read()).toEqual({ intervalMs: 900_000, share: 0.2 });
    expect(await command.peek()).toEqual({ intervalMs: 900_000, share: 0.2 });
    expect(await first.read()).toEqual({ intervalMs: 900_000, share: 0.2 });
    expect(others).toEqual([{ intervalMs: 900_000, share: 0.2 }]);
  });
});

describe("the peak of a delay", () => {
  it("is the highest value of all processes in the last ten to fifteen minutes", async () => {
    let now = 1_000_000_000;
    const minutes = (count: number) => {
      now += count * 60_000;
    };
    const errors: unknown[] = [];
    const open = () => {
      const options = { redis: context.redis, key: context.keys.ledgerPart("peak"), now: () => now };
      return createPeak({ ...options, onError: (error) => errors.push(error) });
    };
    const noteIn = async (value: number) => {
      const peak = open();
      peak.note(value - 1);
      peak.note(value);
      peak.note(value - 2);
      await peak.close();
    };
    const read = () => open().read();
    expect(await read()).toBe(0);
    await noteIn(50);
    await noteIn(20);
    expect(await read()).toBe(50);
    minutes(9);
    await noteIn(30);
    expect(await read()).toBe(50);
    minutes(7);
    expect(await read()).toBe(30);
    await noteIn(10);
    expect(await context.redis.zcard(context.keys.ledgerPart("peak"))).toBe(2);
    minutes(16);
    expect(await read()).toBe(0);
    expect(errors).toEqual([]);
  });
});

describe("the lag of the search", () => {
  const at = (ms: number) => ({ lastSignedIn: new Date(ms).toISOString() });
  const instant = { now: 1_000_000, assumedMs: 120_000 };
  const lag = () => createIndexLag({ ...context, assumedMs: instant.assumedMs });

  it("is sampled from sign-ins that are young enough", () => {
    expect(sampleLag(at(960_000), at(960_000), instant)).toEqual({ fresh: 1, behindMs: 0 });
    expect(sampleLag(at(960_000), at(900_000), instant)).toEqual({ fresh: 1, behindMs: 40_000 });
    expect(sampleLag(at(900_000), at(960_000), instant)).toEqual({ fresh: 1, behindMs: 0 });
    for (const old of [at(800_000), { lastSignedIn: null }, { lastSignedIn: "yesterday" }])
      expect(sampleLag(old, { lastSignedIn: null }, instant)).toEqual(nothingObserved);
  });

  it("is the assumed one until enough was observed, and never more than that", async () => {
    const learned = lag();
    expect(await learned.expected()).toBe(120_000);
    await learned.observe({ fresh: 9, behindMs: 0 }, 0);
    expect(await learned.expected()).toBe(120_000);
    await learned.observe({ fresh: 1, behindMs: 3_000 }, 0);
    expect(await learned.expected()).toBe(11_000);
    await learned.observe({ fresh: 1, behindMs: 119_000 }, 0);
    expect(await learned.expected()).toBe(120_000);
  });

  it("forgets what was observed more than an hour before, but not without newer observations", async () => {
    const learned = lag();
    const hour = 3_600_001;
    await learned.observe({ fresh: 20, behindMs: 50_000 }, 0);
    await learned.observe(nothingObserved, 10 * hour);
    expect(await learned.expected()).toBe(105_000);
    await learned.observe({ fresh: 20, behindMs: 1_000 }, hour);
    expect(await learned.expected()).toBe(105_000);
    await learned.observe({ fresh: 20, behindMs: 1_000 }, 2 * hour);
    expect(await learned.expected()).toBe(7_000);
  });

  it("adds up over pages", () => {
    expect(addSamples({ fresh: 2, behindMs: 5 }, { fresh: 3, behindMs: 4 })).toEqual({ fresh: 5, behindMs: 5 });
  });
});
