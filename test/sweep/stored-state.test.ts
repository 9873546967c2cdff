import { beforeEach, describe, expect, it } from "vitest";
import { readRunId } from "../../src/redis/client.ts";
import { createSweepBookmark } from "../../src/sweep/backfill.ts";
import { createCompleteness } from "../../src/sweep/completeness.ts";
import { storedSweep } from "../../src/sweep/stored-sweep.ts";
import { createSweepLog } from "../../src/sweep/sweep-log.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { useRedis } from "../support/redis.ts";
import { unreadable } from "../support/stored.ts";

const context = useRedis();
const state = beginSweep({ number: 7, previous: undefined, now: 1_000, fill: true });
/** What releases before version 1 wrote, before sweeps counted fields and filled pages. */
const { fields: _fields, fill: _fill, filled: _filled, gaveUp: _gaveUp, ...oldest } = state;
const migrated = { ...state, fill: false };

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

describe("the stored state of a sweep", () => {
  it("is read back with its version removed", () => {
    expect(storedSweep.versioned(state)).toEqual({ ...state, v: 1 });
    expect(storedSweep.parse(storedSweep.versioned(state))).toEqual(state);
  });

  it("is migrated from releases without versions", () => {
    expect(storedSweep.parse(state)).toEqual(state);
    expect(storedSweep.parse(oldest)).toEqual(migrated);
  });

  it.each(unreadable(state))("treats %s as absent", (_what, text) => {
    expect(storedSweep.parse(text)).toBeUndefined();
  });

  it.each([
    { mark: { number: 1, bits: 0 } },
    { mark: null },
    { previous: { number: "1", bits: 8 } },
    { cursor: 5 },
    { phase: "resting" },
    { users: -1 },
    { users: 1.5 },
    { fields: { email: "2" } },
    { fill: "yes" },
  ])("treats a state with %j as absent", (invalid) => {
    expect(storedSweep.parse({ ...storedSweep.versioned(state), ...invalid })).toBeUndefined();
  });
});

describe("the last sweep", () => {
  const key = () => context.keys.ledgerPart("sweep:last");
  const log = () => createSweepLog(context);
  const finished = { ...state, finishedAt: 2_000 };

  it("is read back with its version removed", async () => {
    await log().finish(state, 2_000);
    expect(JSON.parse((await context.redis.get(key())) ?? "")).toEqual({ ...finished, v: 1 });
    expect(await log().last()).toEqual(finished);
  });

  it("is migrated from releases without versions", async () => {
    await context.redis.set(key(), JSON.stringify({ ...oldest, finishedAt: 2_000 }));
    expect(await log().last()).toEqual({ ...migrated, finishedAt: 2_000 });
  });

  it.each(unreadable(finished))("treats %s as absent", async (_what, text) => {
    await context.redis.set(key(), text);
    expect(await log().last()).toBeUndefined();
    await log().finish(state, 2_000);
    expect(await log().last()).toEqual(finished);
  });
});

describe("the completeness mark", () => {
  const completeness = () => createCompleteness(context);
  const mark = async (now: number) => {
    await completeness().beginCount(1);
    await completeness().mark(1, now);
  };

  it("keeps its public member and adds a version", async () => {
    await mark(1_000);
    expect(JSON.parse((await context.redis.get(context.keys.complete)) ?? "")).toEqual({
      since: 1_000,
      runId: await readRunId(context.redis),
      v: 1,
    });
    await mark(2_000);
    expect(await completeness().since()).toBe(1_000);
  });

  it("is read from releases that did not count, and keeps its time once a count has earned it", async () => {
    await context.redis.set(context.keys.complete, '{"since":5}');
    expect([await completeness().recheck(), await completeness().counted()]).toEqual([5, false]);
    await mark(1_000);
    expect([await completeness().since(), await completeness().counted()]).toEqual([5, true]);
  });

  it("is not set if another Redis process has taken over since the count began", async () => {
    await completeness().beginCount(1);
    await context.redis.set(context.keys.counting(1), "another");
    await completeness().mark(1, 1_000);
    expect(await completeness().since()).toBeUndefined();
    // The count is over: its note is gone.
    expect(await context.redis.exists(context.keys.counting(1))).toBe(0);
  });

  it("is removed when another Redis process has taken over", async () => {
    await mark(1_000);
    expect(await completeness().recheck()).toBe(1_000);
    await context.redis.set(context.keys.complete, '{"since":5,"runId":"another","v":1}');
    expect(await completeness().recheck()).toBeUndefined();
    expect(await context.redis.exists(context.keys.complete)).toBe(0);
  });

  it.each(unreadable({ since: 5 }))("treats %s as absent and sets it again", async (_what, text) => {
    await context.redis.set(context.keys.complete, text);
    expect(await completeness().since()).toBeUndefined();
    await mark(1_000);
    expect(await completeness().since()).toBe(1_000);
  });
});

describe("the position of a backfill", () => {
  const key = () => context.keys.ledgerPart("backfill");
  const bookmark = () => createSweepBookmark(context.redis, context.keys);
  const place = { state, enqueued: 3, calls: 4 };

  it("is read back with its version removed", async () => {
    await bookmark().write(place);
    expect(JSON.parse((await context.redis.get(key())) ?? "")).toEqual({ ...place, v: 1 });
    expect(await bookmark().read()).toEqual(place);
  });

  it("is migrated from releases without versions", async () => {
    await context.redis.set(key(), JSON.stringify({ ...place, state: oldest }));
    expect(await bookmark().read()).toEqual({ ...place, state: migrated });
  });

  it.each([
    ...unreadable(place),
    ["a position with an invalid state", JSON.stringify({ ...place, state: { ...state, cursor: 7 } })],
    ["a position without counts", JSON.stringify({ state })],
  ])("treats %s as absent", async (_what, text) => {
    await context.redis.set(key(), text);
    expect(await bookmark().read()).toBeUndefined();
  });
});
