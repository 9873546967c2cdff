import { setMaxListeners } from "node:events";
import { defineFlags, property } from "kindling";
import type { FlagsRecord } from "kindling/contract";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { patienceOfManyMs } from "../../src/kinde/call-budget.ts";
import { mostAtOnce } from "../../src/kinde/few-at-once.ts";
import type { ManagementApi } from "../../src/kinde/management-api.ts";
import { createRecentUsers, type RecentUsers } from "../../src/redis/recent-users.ts";
import { scanStart } from "../../src/redis/records.ts";
import { createFlows, type Flows } from "../../src/service/create-flows.ts";
import {
  createRecentChecks,
  pauseAfter,
  type RecentStep,
  roundMs,
  usersPerStep,
} from "../../src/sweep/check-recent.ts";
import { areChecksWorthwhile, fetchAllowance, sweepBound } from "../../src/sweep/pace.ts";
import { createRecentLog, summarizeChecks } from "../../src/sweep/recent-log.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { defaultPace, defaults, plannedSweep, recentRoundMs } from "../support/defaults.ts";
import { type RedisWorld, withRedisWorld } from "../support/redis-clock.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const { signal } = new AbortController();
// The checks of one step run at the same time.
setMaxListeners(0, signal);
const call = { priority: "bulk", signal } as const;
const definitions = defineFlags({ region: property.string("compliance_region", { default: null }) });
const { perMinute } = defaults.calls;
const { users: mostUsers, share, intervalMs } = defaults.recent;
const minute = 60_000;

let stack: Stack;
let flows: Flows;
/** Ids of users with a record: the first page of a million. */
let held: string[];
let world: RedisWorld;
let recent: RecentUsers;

beforeAll(async () => {
  stack = await startStack({
    workers: false,
    emulator: { users: 1_000_000 },
    env: { KINDLING_PROFILE: "account,properties,organizations", KINDLING_INDEX_LAG: "0s" },
  });
  flows = createFlows({ ...stack, definitions });
  const state = beginSweep({ number: 1, previous: undefined, now: Date.now(), fill: true });
  await stack.store.seen.begin(state.mark, null);
  const { state: filled } = await flows.sweepStep(state, call);
  expect(filled.filled).toBe(500);
  held = (await stack.store.records.scanIds(scanStart, 10_000)).userIds;
});
afterAll(() => stack.close());

beforeEach(async () => {
  const { redis, keys } = stack.store;
  await redis.del(["active", "checked", "since", "log"].map((name) => keys.ledgerPart(`recent:${name}`)));
  stack.emulator.stats.reset();
  // Nobody's record is newer.
  world = { now: Date.now() + minute, runId: "one" };
  recent = open(mostUsers);
});
afterEach(() => recent.close());

function open(most: number): RecentUsers {
  const redis = withRedisWorld(stack.store.redis as never, world);
  return createRecentUsers({ ...stack.store, redis, most, onError: (error) => expect.unreachable(String(error)) });
}

async function note(userIds: readonly string[]) {
  recent.note(userIds);
  await recent.flush();
}

const log = () => createRecentLog(stack.store);

function checks(overrides: object = {}) {
  return createRecentChecks({
    api: flows.kinde,
    recent,
    records: stack.store.records,
    ledger: { clock: async () => world.now },
    log: log(),
    definitions,
    keep: stack.config.profile,
    signIns: true,
    intervalMs,
    settleMs: 1,
    now: () => world.now,
    ...overrides,
  });
}

/** Runs checks as the worker does, on a clock that each step moves on by what its calls may take. */
async function play(untilMs: number, each: (step: RecentStep) => Promise<void> | void, overrides: object = {}) {
  const { step } = checks(overrides);
  while (world.now < untilMs) {
    const taken = await step(call);
    await each(taken);
    world.now += pauseAfter(taken, { share, perMinute, spentMs: 0 });
  }
}

describe("checks of recently active users", () => {
  it("find edits long before a sweep of a million users does, within their share and the stated time", async () => {
    // As many as the default lets be active.
    const active = held.slice(0, mostUsers);
    expect(active).toHaveLength(mostUsers);
    await note(active);
    const { kinde, stats } = stack.emulator;
    const sweepMs = sweepBound(plannedSweep(1_000_000), defaultPace, { lateMs: 0, fetchMs: 0, lagMs: 0 })?.withinMs;
    expect(sweepMs).toBeGreaterThan(15 * minute);

    const began = world.now;
    // Two rounds: a time between two checks of a user is known after the second.
    const playedMs = 2 * recentRoundMs() + minute;
    const editedAt = new Map<string, number>();
    const foundAfter: number[] = [];
    await play(began + playedMs, async ({ refresh }) => {
      for (const { userId, freshSince } of refresh) {
        foundAfter.push(world.now - (editedAt.get(userId) ?? Number.NaN));
        expect(freshSince).toBe(world.now);
        await flows.refreshUser(userId, call);
        expect(((await stack.record(userId)) as unknown as FlagsRecord).flags.region).toBe("edited");
      }
      // An edit now and then, of a user that the checks are somewhere between.
      const userId = active[(editedAt.size * 7) % active.length] ?? "";
      if (editedAt.size >= 20 || world.now > began + 4 * minute) return;
      editedAt.set(userId, world.now);
      kinde.setProperties(userId, { compliance_region: "edited" });
    });
    expect(editedAt.size).toBeGreaterThanOrEqual(20);
    expect(foundAfter).toHaveLength(editedAt.size);
    const { withinMs, users, checked, different, calls } = summarizeChecks(await log().read(), world.now, 0) ?? {};
    expect({ users, different }).toEqual({ users: mostUsers, different: editedAt.size });
    expect(Math.max(...foundAfter)).toBeLessThanOrEqual(withinMs ?? 0);
    expect(withinMs).toBeLessThanOrEqual(recentRoundMs() + fetchAllowance(0));
    expect(checked).toBeGreaterThanOrEqual(2 * mostUsers);
    const byChecks = stats.total - editedAt.size * 2;
    expect(calls).toBe(byChecks);
    // The last step's pause is not over.
    expect(byChecks).toBeLessThanOrEqual((playedMs / minute) * share * perMinute + 21);
  }, 60_000);

  it("leave users alone who were checked or fetched within the interval, and look again when the first is due", async () => {
    const [one = "", two = ""] = held.slice(200);
    await note([one, two]);
    const { step } = checks();
    expect(await step(call)).toEqual({ refresh: [], calls: 3, waitMs: 0 });
    expect(await step(call)).toEqual({ refresh: [], calls: 0, waitMs: 5_000 });
    world.now += 28_000;
    expect(await step(call)).toEqual({ refresh: [], calls: 0, waitMs: 2_000 });
    // A fetch tells as much as a check.
    const { flags, profile } = await stack.store.records.read(one);
    const at = { ...(flags as FlagsRecord), fetchedAt: world.now };
    await stack.store.publicRedis.set(stack.store.keys.flags(one), JSON.stringify(at));
    expect(profile?.id).toBe(one);
    world.now += 2_000;
    expect(await step(call)).toEqual({ refresh: [], calls: 2, waitMs: 0 });
    expect(await step(call)).toEqual({ refresh: [], calls: 0, waitMs: 5_000 });
  });

  it("compare users whose records are ahead of the clock, which stepped back", async () => {
    const userId = held.at(-2) ?? "";
    world.now = Date.now() - 10 * minute;
    await note([userId]);
    stack.emulator.kinde.setProperties(userId, { compliance_region: "edited meanwhile" });
    const { step } = checks();
    expect(await step(call)).toMatchObject({ refresh: [{ userId, freshSince: world.now }] });
    // Noted as checked, so that the next look waits for the interval.
    expect(await step(call)).toMatchObject({ refresh: [], calls: 0 });
  });

  it("look again as soon as a difference can no longer be an answer that lags", async () => {
    const userId = held.at(-3) ?? "";
    stack.emulator.kinde.setProperties(userId, { compliance_region: "edited at once" });
    await note([userId]);
    const { step } = checks({ settleMs: 5 * minute });
    world.now = Date.now() + 4 * minute;
    expect(await step(call)).toMatchObject({ refresh: [], calls: 2 });
    // Within the interval of checks.
    world.now += intervalMs - 1_000;
    expect(await step(call)).toMatchObject({ refresh: [], calls: 2 });
    world.now = Date.now() + 5 * minute + 1_000;
    expect(await step(call)).toMatchObject({ refresh: [{ userId }] });
  });

  it("measure nothing of a user who is forgotten at the same moment", async () => {
    const userId = held.at(-4) ?? "";
    await note([userId]);
    await stack.store.redis.hdel(stack.store.keys.ledgerPart("recent:since"), userId);
    expect(await checks().step(call)).toMatchObject({ calls: 2 });
    expect((await log().read()).current).toMatchObject({ checked: 1, longestMs: 0 });
  });

  it("find what the list of users shows too, and leave deletions to the sweep", async () => {
    const [suspended = "", deleted = "", ...others] = held.slice(210, 220);
    stack.emulator.kinde.suspendUser(suspended);
    stack.emulator.kinde.deleteUser(deleted, { silent: true });
    await note([suspended, deleted, ...others]);
    const { step } = checks();
    const found = new Set((await step(call)).refresh.map(({ userId }) => userId));
    world.now += minute;
    for (const { userId } of (await step(call)).refresh) found.add(userId);
    expect([...found]).toEqual([suspended]);
  });

  it("forget users without a record, without a call", async () => {
    await note(["kp_00000000000000000000000000000000"]);
    expect(await checks().step(call)).toEqual({ refresh: [], calls: 0, waitMs: undefined });
    expect({ size: await recent.size(), calls: stack.emulator.stats.total }).toEqual({ size: 0, calls: 0 });
  });

  it("go on if Kinde fails for one user, and pause if it rejects the whole step", async () => {
    const [bad = "", good = ""] = held.slice(220);
    await note([bad, good]);
    const { faults, kinde } = stack.emulator;
    const path = `/api/v1/users/${bad}/properties`;
    faults.set({ kind: "error", status: 500, path });
    kinde.setProperties(good, { compliance_region: "edited" });
    const { step } = checks();
    expect((await step(call)).refresh.map(({ userId }) => userId)).toEqual([good]);
    faults.clear();
    faults.set({ kind: "error", status: 403, path: "/api/v1/users" });
    world.now += 31_000;
    const { failed, waitMs } = await step(call);
    expect(failed).toContain("read:users");
    expect(waitMs).toBeUndefined();
    faults.clear();
    expect(await step(call)).toEqual({ refresh: [], calls: 0, waitMs: undefined });
    world.now += 15 * minute;
    await note([bad, good]);
    expect((await step(call)).calls).toBe(3);
    expect((await log().read()).failed).toBeNull();
  });

  it("ask about few users at a time, and wait for their turn in the line for calls", async () => {
    await note(held.slice(0, usersPerStep));
    let now = 0;
    let most = 0;
    const patience = new Set<number | undefined>();
    const api: ManagementApi = {
      ...flows.kinde,
      async get(request, options) {
        if (request.path.includes("/properties")) patience.add(options.patienceMs);
        now += 1;
        most = Math.max(most, now);
        return await flows.kinde.get(request, options).finally(() => {
          now -= 1;
        });
      },
    };
    expect((await checks({ api }).step(call)).calls).toBe(usersPerStep + 1);
    expect([most, ...patience]).toEqual([mostAtOnce, patienceOfManyMs]);
  });

  it("are worth their calls only where a sweep takes longer than a check of all who are active", () => {
    const worth = (active: number) => (users: number) => {
      const apart = { intervalMs, roundMs: roundMs(active, { share, intervalMs, perMinute }) };
      return areChecksWorthwhile(plannedSweep(users), defaultPace, apart);
    };
    const populations = [10_000, 50_000, 100_000, 1_000_000];
    expect(populations.map(worth(20))).toEqual([false, false, true, true]);
    expect(populations.map(worth(defaults.recent.users))).toEqual([false, false, false, true]);
    const apart = { intervalMs, roundMs: intervalMs };
    expect(areChecksWorthwhile(undefined, defaultPace, apart)).toBe(false);
    expect(areChecksWorthwhile(plannedSweep(1_000_000), { ...defaultPace, intervalMs: 0 }, apart)).toBe(false);
  });
});

describe("the set of recently active users", () => {
  it("keeps the latest ones, for a quarter of an hour, and nobody at 0", async () => {
    const small = open(3);
    for (const userId of held.slice(0, 5)) {
      small.note([userId]);
      await small.flush();
      world.now += 1_000;
    }
    const ids = async () => (await small.longestUnchecked(10)).map(({ userId }) => userId).sort();
    expect(await ids()).toEqual(held.slice(2, 5).sort());
    // More than fit at once: the last ones stay.
    small.note(held.slice(0, 10));
    await small.flush();
    expect(await ids()).toEqual(held.slice(7, 10).sort());
    // Was seen again: stays when the others are over.
    world.now += 10 * minute;
    small.note(held.slice(9, 10));
    await small.flush();
    world.now += 10 * minute;
    small.note(held.slice(0, 1));
    await small.flush();
    expect(await ids()).toEqual([held[0], held[9]].sort());
    const none = open(0);
    none.note(held);
    await none.flush();
    expect(await ids()).toHaveLength(2);
    await Promise.all([small.close(), none.close()]);
  });

  it("takes new users, and has the others checked, although Redis' clock stepped back", async () => {
    const small = open(3);
    const [first = "", second = "", third = "", fourth = ""] = held;
    small.note([first, second, third]);
    await small.flush();
    const checkedAt = world.now;
    await small.checked([first, second, third].map((userId) => ({ userId, checkedAt })));
    world.now -= 120 * minute;
    small.note([fourth]);
    await small.flush();
    const users = await small.longestUnchecked(10);
    expect(users.map(({ userId }) => userId)).toContain(fourth);
    expect(users).toHaveLength(3);
    for (const user of users) expect(user.checkedAt).toBeLessThan(world.now);
    await small.close();
  });

  it("is noted by sign-ins, readers' requests and reads over HTTP, and checked by the workers", async () => {
    const token = "0123456789abcdef0123456789abcdef";
    const served = await startStack({
      emulator: { users: 3 },
      env: {
        KINDLING_API_TOKENS: `app:read:${token}`,
        KINDLING_PROFILE: "account,properties,organizations",
        KINDLING_SWEEP_INTERVAL: "1h",
        KINDLING_RECENT_INTERVAL: "1s",
        KINDLING_WATCH_INTERVAL: "200ms",
      },
    });
    onTestFinished(() => served.close());
    const { store, emulator } = served;
    served.subscribe();
    const [signedIn = "", requested = "", read = ""] = emulator.kinde.userIds();
    await until(async () => expect(await store.completeness.since()).toBeDefined());
    emulator.kinde.signIn(signedIn);
    await store.publicRedis.zadd(store.keys.refreshRequests.later, Date.now(), requested);
    const url = served.webhookUrl.replace("/webhooks/kinde", `/v1/users/${read}/flags`);
    expect((await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
    await until(async () => {
      const users = await store.recentUsers.longestUnchecked(10);
      expect(users.map(({ userId }) => userId).sort()).toEqual([signedIn, requested, read].sort());
    });
    // No event, and the next sweep is half a minute away.
    emulator.kinde.setProperties(read, { compliance_region: "edited" });
    await until(async () => expect((await served.record(read))?.flags).toMatchObject({ region: "edited" }));
    expect((await store.recentLog.read()).current?.different).toBe(1);
  }, 60_000);
});
