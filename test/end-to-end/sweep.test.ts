import { afterEach, describe, expect, it } from "vitest";
import { createLog, type Log } from "../../src/log.ts";
import { readStatus } from "../../src/status/read-status.ts";
import { createSweepPace } from "../../src/sweep/pace.ts";
import { currentSweep } from "../../src/sweep/queue.ts";
import { scheduleSweeps } from "../../src/sweep/schedule.ts";
import type { FinishedSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { runSweep } from "../support/run-sweep.ts";
import { dropKeys, type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

async function start(options: StackOptions = {}) {
  // By default the search index is always up to date.
  stack = await startStack({ ...options, env: { KINDLING_INDEX_LAG: "0s", ...options.env } });
  return stack;
}

const sweep = () => runSweep(stack);

/** Fetches from Kinde with this many invalid users in each search page. */
function withInvalidEntries(count: number): typeof fetch {
  return async (input, init) => {
    const answer = await fetch(input, init);
    if (!String(input).includes("/search/users")) return answer;
    const { results, ...rest } = (await answer.json()) as { results: object[] };
    const invalid = results.map((user, index) => (index < count ? { ...user, total_sign_ins: "many" } : user));
    return Response.json({ ...rest, results: invalid });
  };
}

const searches = () => stack.emulator.stats.calls["GET /api/v1/search/users"] ?? 0;
const fetches = () => stack.emulator.stats.calls["GET /api/v1/user"] ?? 0;
const paceOf = (intervalMs: number) =>
  createSweepPace({ ...stack.store, own: { intervalMs, share: 0.1 }, onOther: () => {} });
const flagsOf = async (id: string) => (await stack.record(id))?.flags;

describe("a sweep without webhooks", () => {
  it("finds imported users", async () => {
    const { emulator, store } = await start();
    const users = emulator.kinde.importUsers(
      Array.from({ length: 1_001 }, () => ({ properties: { plan_tier: "pro" } })),
    );
    expect(await sweep()).toMatchObject({ users: 1_001, missing: 1_001, different: 0 });
    // Three pages, and an empty one, which ends a listing that fills only when repeated.
    expect(searches()).toBe(5);
    const tickets = await store.records.tickets(users.map(({ id }) => id));
    expect(tickets.every((ticket) => ticket > 0)).toBe(true);
  }, 60_000);

  it("finds a changed property and fetches only that user", async () => {
    const { emulator } = await start({ emulator: { users: 60 } });
    await sweep();
    const [id = ""] = emulator.kinde.userIds();
    emulator.kinde.setProperties(id, { plan_tier: "enterprise", onboarded: "true" });
    emulator.stats.reset();
    expect(await sweep()).toMatchObject({ users: 60, different: 1, fields: { properties: 1 }, missing: 0 });
    expect(await flagsOf(id)).toMatchObject({ tier: "enterprise", onboarded: true });
    expect(fetches()).toBe(1);
    emulator.stats.reset();
    expect(await sweep()).toMatchObject({ different: 0, missing: 0 });
    expect(emulator.stats.total).toBe(2);
  });

  it("has a user fetched whose stored profile is malformed, and compares the others", async () => {
    const { emulator, store } = await start({ emulator: { users: 10 } });
    await sweep();
    const [broken = "", changed = ""] = emulator.kinde.userIds();
    const key = store.keys.profile(broken);
    const profile = JSON.parse((await store.redis.get(key)) ?? "");
    await store.redis.set(key, JSON.stringify({ ...profile, lastSignedIn: 5, properties: { plan_tier: 5 } }));
    emulator.kinde.setProperties(changed, { plan_tier: "enterprise" });
    expect(await sweep()).toMatchObject({ users: 10, fields: { "profile missing": 1, properties: 1 } });
    expect(await flagsOf(changed)).toMatchObject({ tier: "enterprise" });
    expect(JSON.parse((await store.redis.get(key)) ?? "")).toMatchObject({ lastSignedIn: profile.lastSignedIn });
  });

  it("finds a suspension, a departure and a changed name that sent no event", async () => {
    const { emulator } = await start({ emulator: { users: 20 } });
    const { kinde } = emulator;
    const [suspended = "", departed = "", renamed = ""] = [...kinde.userIds()].filter(
      (id) => kinde.user(id)?.isSuspended === false,
    );
    const { code } = kinde.createOrganization();
    kinde.addToOrganization(departed, code);
    await sweep();
    const profileOf = async (id: string) =>
      JSON.parse((await stack.store.redis.get(stack.store.keys.profile(id))) ?? "");
    kinde.suspendUser(suspended, true, { silent: true });
    kinde.removeFromOrganization(departed, code, { silent: true });
    kinde.updateUser(renamed, { firstName: "Hypatia" }, { silent: true });
    expect(await sweep()).toMatchObject({ different: 3, missing: 0 });
    expect(await flagsOf(suspended)).toMatchObject({ suspended: true });
    expect(JSON.stringify(await profileOf(departed))).not.toContain(code);
    expect(await profileOf(renamed)).toMatchObject({ firstName: "Hypatia" });
  });

  it.each([
    ["1h", { doubted: 1, different: 0 }, 0],
    ["0s", { doubted: 0, different: 1 }, 1],
  ])(
    "attributes a difference to index lag only if the record is younger than the lag (%s)",
    async (lag, found, asked) => {
      const { emulator, store } = await start({ env: { KINDLING_INDEX_LAG: lag }, emulator: { users: 1 } });
      const [id = ""] = emulator.kinde.userIds();
      await sweep();
      emulator.faults.set({ kind: "search_lag", ms: 3_000_000 });
      emulator.kinde.setProperties(id, { compliance_region: "moon" });
      await store.queues.enqueueRefreshes([{ userId: id, delayMs: 0 }]);
      await until(async () => expect(await flagsOf(id)).toMatchObject({ region: "moon" }));
      emulator.stats.reset();
      expect(await sweep()).toMatchObject(found);
      expect(fetches()).toBe(asked);
      expect(await flagsOf(id)).toMatchObject({ region: "moon" });
    },
  );

  it("does not doubt a record for longer than the lag that it has learned", async () => {
    const { emulator, store } = await start({ env: { KINDLING_INDEX_LAG: "1h" }, emulator: { users: 1 } });
    const [id = ""] = emulator.kinde.userIds();
    await sweep();
    await store.queues.enqueueRefreshes([{ userId: id, delayMs: 0 }]);
    await until(async () => expect(fetches()).toBeGreaterThan(0));
    await until(async () => expect(await store.queues.refresh.getJobCountByTypes("waiting", "active")).toBe(0));
    const record = JSON.parse((await store.redis.get(store.keys.flags(id))) ?? "");
    await store.redis.set(store.keys.flags(id), JSON.stringify({ ...record, fetchedAt: record.fetchedAt - 10_000 }));
    emulator.kinde.setProperties(id, { compliance_region: "moon" });
    expect(await sweep()).toMatchObject({ doubted: 1, different: 0 });
    // Ten sign-ins that the search showed at once: a lag of 5 s at most.
    await store.indexLag.observe({ fresh: 10, behindMs: 0 }, Date.now());
    expect(await sweep()).toMatchObject({ doubted: 0, different: 1 });
    expect(await flagsOf(id)).toMatchObject({ region: "moon" });
  });

  it("buries users that two consecutive sweeps did not list, not after a single sweep", async () => {
    const { emulator } = await start({ env: { KINDLING_ABSENCE_CHECKS: "1" }, emulator: { users: 20 } });
    await sweep();
    const [gone = "", ...rest] = emulator.kinde.userIds();
    emulator.kinde.deleteUser(gone, { silent: true });
    emulator.stats.reset();
    expect(await sweep()).toMatchObject({ unlisted: 0 });
    expect(fetches()).toBe(0);
    expect(await sweep()).toMatchObject({ unlisted: 1 });
    expect((await stack.record(gone))?.status).toBe("deleted");
    for (const id of rest) expect((await stack.record(id))?.status).toBe("present");
  });

  it("keeps users that the search omits but Kinde still has", async () => {
    const { emulator, store } = await start();
    const { id } = emulator.kinde.createUser();
    await store.queues.enqueueRefreshes([{ userId: id, delayMs: 0 }]);
    await until(async () => expect(await stack.record(id)).not.toBeNull());
    emulator.faults.set({ kind: "search_lag", ms: 3_500_000 });
    await sweep();
    expect(await sweep()).toMatchObject({ users: 0, unlisted: 1 });
    expect((await stack.record(id))?.status).toBe("present");
  });

  it("retries only the page that failed", async () => {
    const env = { KINDLING_SWEEP_PAGE_SIZE: "10", KINDLING_RETRY_BASE: "10ms", KINDLING_REFRESH_ATTEMPTS: "4" };
    const { emulator } = await start({ env, emulator: { users: 295 } });
    emulator.faults.set({ kind: "error", status: 503, path: "/api/v1/search/users", probability: 0.3, seed: 7 });
    expect(await sweep()).toMatchObject({ users: 295 });
    const struck = emulator.faults.list()[0]?.struck ?? 0;
    // More than the attempts of one page: failures before the last saved page do not count.
    expect(struck).toBeGreaterThan(4);
    expect(searches()).toBe(32 + struck);
  }, 60_000);

  it("fetches users with invalid search entries and continues", async () => {
    const { emulator } = await start({
      env: { KINDLING_SWEEP_PAGE_SIZE: "10" },
      emulator: { users: 25 },
      world: { fetch: withInvalidEntries(1) },
    });
    expect(await sweep()).toMatchObject({ users: 25, missing: 25 });
    for (const id of emulator.kinde.userIds()) expect((await stack.record(id))?.status).toBe("present");
    expect(await sweep()).toMatchObject({ users: 25, missing: 0, different: 3, fields: { unreadable: 3 } });
  });

  it("resumes a sweep of an older release, which did not count fields", async () => {
    const logged: object[] = [];
    const log = { ...createLog("silent"), info: (fields: object) => logged.push(fields) } as Log;
    const { emulator, store } = await start({ emulator: { users: 3 }, log });
    await sweep();
    const [id = ""] = emulator.kinde.userIds();
    emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    const [number, previous] = await Promise.all([store.sweeps.nextNumber(), store.sweeps.last()]);
    const { fields: _fields, ...begun } = beginSweep({ number, previous, now: Date.now(), fill: false });
    await store.queues.sweep.add("sweep", { state: { ...begun, different: 7 } });
    await until(async () => expect(await store.sweeps.last()).toMatchObject({ mark: { number } }));
    expect(await store.sweeps.last()).toMatchObject({ different: 8, fields: { properties: 1 } });
    await until(() => expect(logged).toContainEqual(expect.objectContaining({ fields: { properties: 1 } })));
  });

  it("starts again if a newer release wrote the progress", async () => {
    const { store } = await start({ emulator: { users: 3 } });
    const begun = beginSweep({ number: 900, previous: undefined, now: Date.now(), fill: false });
    await store.queues.sweep.add("sweep", { state: { ...begun, v: 2, cursor: { page: 3 }, users: "many" } });
    await until(async () => expect(await store.sweeps.last()).toMatchObject({ users: 3 }));
    expect((await store.sweeps.last())?.mark.number).not.toBe(900);
  });

  it("treats a page of mostly invalid entries as a failure of Kinde and fetches nobody", async () => {
    const { store } = await start({ emulator: { users: 25 }, world: { fetch: withInvalidEntries(11) } });
    await store.queues.enqueueSweep();
    await until(async () => {
      const [job] = await store.queues.sweep.getJobs(["delayed"]);
      expect(job?.failedReason).toMatch(/^kinde_unavailable: .* malformed/);
    });
    expect(fetches()).toBe(0);
  });

  it("refreshes roles by age, each user in turn, however many are too old at once", async () => {
    const { emulator, store } = await start({ env: { KINDLING_EXTRAS_MAX_AGE: "7d" } });
    const { code } = emulator.kinde.createOrganization();
    const users = emulator.kinde.importUsers(Array.from({ length: 60 }, () => ({ organizations: [code] })));
    await sweep();
    const day = 86_400_000;
    const age = async (days: number) => {
      for (const key of users.map(({ id }) => store.keys.flags(id))) {
        const record = JSON.parse((await store.redis.get(key)) ?? "");
        await store.redis.set(key, JSON.stringify({ ...record, fetchedAt: record.fetchedAt - days * day }));
      }
    };
    /** Fetches of the next sweep, if the last one began and ended so many days before it. */
    const fetchedAfter = async (days: number) => {
      const { finishedAt: now, ...last } = (await store.sweeps.last()) as FinishedSweep;
      const to = now - days * day;
      await store.sweeps.finish({ ...last, startedAt: now - days * day, aged: { ...last.aged, to } }, now);
      emulator.stats.reset();
      await sweep();
      return fetches();
    };
    await age(3.4);
    expect(await fetchedAfter(3.5)).toBe(0);
    await age(10);
    expect(await fetchedAfter(0)).toBeLessThan(3);
    const half = await fetchedAfter(1.75);
    expect(half).toBeGreaterThan(10);
    expect(half).toBeLessThan(50);
    // The rest. Users already fetched are not due again within 3.5 days.
    expect(half + (await fetchedAfter(3.5))).toBeGreaterThan(57);
    expect(await fetchedAfter(3.5)).toBe(0);
  });

  it("does not mark a store complete that was wiped during the sweep", async () => {
    const logged: object[] = [];
    const log = { ...createLog("silent"), warn: (fields: object) => logged.push(fields) } as Log;
    const { emulator, store, config } = await start({
      env: { KINDLING_SWEEP_PAGE_SIZE: "10" },
      emulator: { users: 50 },
      log,
    });
    emulator.faults.set({ kind: "latency", ms: 200, path: "/api/v1/search/users" });
    await store.queues.enqueueSweep();
    await until(() => expect(searches()).toBe(3));
    await dropKeys(config);
    // The worker notices after the current page that its job is gone.
    await until(() => expect(logged).toContainEqual(expect.objectContaining({ queue: "sweep", member: "sweep" })));
    expect(await store.completeness.since()).toBeUndefined();
    expect(await store.sweeps.last()).toBeUndefined();
  });

  it("leaves a quarter of the call budget to webhooks", async () => {
    const { store } = await start({ env: { KINDLING_CALLS_AT_ONCE: "4" }, emulator: { users: 3 } });
    // A sweep can use three of four concurrent calls.
    const release = new AbortController();
    const held = Array.from({ length: 3 }, () =>
      store.budget.run(
        "webhook",
        () => new Promise<void>((resolve) => release.signal.addEventListener("abort", () => resolve())),
      ),
    );
    await until(async () => expect((await store.budget.state()).inUse).toBe(3));
    await store.queues.enqueueSweep();
    // The first attempt was rejected.
    await until(async () => {
      const [job] = await store.queues.sweep.getJobs(["active", "waiting", "delayed"]);
      expect(job?.attemptsStarted).toBeGreaterThan(1);
    });
    await expect(store.budget.run("webhook", async () => "served")).resolves.toBe("served");
    expect(searches()).toBe(0);
    release.abort();
    await Promise.all(held);
    await until(async () => expect(await store.sweeps.last()).toMatchObject({ users: 3 }));
  });

  it("runs one at a time in the fleet", async () => {
    const { store, emulator } = await start({ emulator: { users: 30 } });
    await stack.startWorkers();
    emulator.faults.set({ kind: "latency", ms: 50 });
    await Promise.all([store.queues.enqueueSweep(), store.queues.enqueueSweep(), store.queues.enqueueSweep()]);
    await until(async () => expect(await store.sweeps.last()).toBeDefined());
    await until(async () => expect(await store.queues.sweep.getJobCountByTypes("waiting", "active")).toBe(0));
    expect(searches()).toBe(3);
  });

  it("is handed back on shutdown and resumed by another process", async () => {
    stack = await startStack({ workers: false, env: { KINDLING_SWEEP_PAGE_SIZE: "1" }, emulator: { users: 100 } });
    const { store, emulator } = stack;
    const workers = await stack.startWorkers();
    emulator.faults.set({ kind: "latency", ms: 300, path: "/api/v1/search/users" });
    await store.queues.enqueueSweep();
    await until(() => expect(searches()).toBeGreaterThan(1));
    // The grace period is 16 s, and the remaining pages take twice as long.
    const began = performance.now();
    await workers.close();
    expect(performance.now() - began).toBeLessThan(8_000);
    const done = searches();
    emulator.faults.clear();
    await stack.startWorkers();
    await until(async () => expect(await store.sweeps.last()).toMatchObject({ users: 100 }));
    expect(searches()).toBe(102);
    expect(done).toBeLessThan(50);
    const [mark] = await store.redis.keys(`*${stack.config.prefix}*sweep:seen*`);
    expect(await store.redis.pttl(String(mark))).toBeGreaterThan(0);
  }, 60_000);

  it("refills a wiped store automatically", async () => {
    const { emulator, store, config } = await start({ emulator: { users: 25 } });
    await sweep();
    await dropKeys(config);
    await scheduleSweeps({ ...store, pace: paceOf(3_600_000), now: Date.now });
    await until(async () => {
      for (const id of emulator.kinde.userIds()) expect((await stack.record(id))?.status).toBe("present");
    });
  });

  it("begins once, however long it waits for room in the queue", async () => {
    const { store } = await start({ env: { KINDLING_SWEEP_BACKLOG: "1" } });
    const { queues, redis, keys } = store;
    await queues.bulk.pause();
    for (const userId of ["kp_1", "kp_2"]) await queues.bulk.add("sweep", { userId });
    await queues.enqueueSweep();
    const waiting = (starts: number) =>
      until(async () => {
        const [job] = await queues.sweep.getDelayed();
        expect(job?.attemptsStarted).toBe(starts);
        return job;
      });
    await (await waiting(1))?.promote();
    await waiting(2);
    expect(await redis.zcard(keys.ledgerPart("sweep:begun"))).toBe(1);
  });

  it("find an edit on their own, at the pace of the interval and the budget", async () => {
    const env = { KINDLING_SWEEP_INTERVAL: "2s", KINDLING_SWEEP_SHARE: "0", KINDLING_SWEEP_PAGE_SIZE: "10" };
    const { emulator, store, config } = await start({ env, emulator: { users: 35 } });
    await until(async () => expect(await store.completeness.since()).toBeDefined());
    const [id = ""] = emulator.kinde.userIds();
    emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    const edited = performance.now();
    await until(async () => expect(await flagsOf(id)).toMatchObject({ tier: "enterprise" }), 10_000);
    const took = performance.now() - edited;
    const last = await until(async () => {
      const finished = await store.sweeps.last();
      expect(finished?.fill).toBe(false);
      return finished;
    });
    // Five calls, spread over the interval.
    expect((last?.finishedAt ?? 0) - (last?.startedAt ?? 0)).toBeGreaterThan(1_000);
    const { bound } = (await readStatus(store, config, Date.now())).sweep;
    expect(took).toBeLessThan(bound?.withinMs ?? 0);
    expect(bound?.withinMs).toBeLessThan(10_000);
    // The refresh took part of it.
    await until(async () => expect(await store.delays.fetch.read()).toBeGreaterThan(0));
    expect(await store.delays.fetch.read()).toBeLessThan(took);
  }, 30_000);

  it("measure how late they start", async () => {
    const { store, config } = await start({ env: { KINDLING_SWEEP_INTERVAL: "1h" }, emulator: { users: 5 } });
    const finished = (after: number) =>
      until(async () => {
        const last = await store.sweeps.last();
        expect(last?.startedAt ?? 0).toBeGreaterThan(after);
        return last;
      });
    const first = await finished(0);
    await until(async () => expect(await currentSweep(store.queues)).toBeUndefined());
    await store.queues.enqueueTick(0, Date.now() - 7_000);
    expect((await finished(first?.startedAt ?? 0))?.lateMs).toBeGreaterThanOrEqual(7_000);
    await until(async () => expect(await store.delays.late.read()).toBeGreaterThanOrEqual(7_000));
    const { bound } = (await readStatus(store, config, Date.now())).sweep;
    expect(bound?.withinMs).toBeGreaterThanOrEqual(30_000 + 7_000 + 3_000);
  }, 30_000);
});
