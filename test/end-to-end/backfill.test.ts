import { afterEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { createSweepPace } from "../../src/sweep/pace.ts";
import { scheduleSweeps } from "../../src/sweep/schedule.ts";
import { envOf, kindling, pressCtrlC } from "../cli/command-line.ts";
import { expected, held } from "../support/comparison.ts";
import { dropKeys, type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

async function start(options: StackOptions = {}): Promise<Stack> {
  stack = await startStack(options);
  return stack;
}

const envOfCommand = () => ({
  ...envOf(stack.config),
  KINDLING_SWEEP_PAGE_SIZE: String(stack.config.sweep.pageSize),
  KINDLING_INDEX_LAG: `${stack.config.sweep.indexLagMs}ms`,
});
const backfill = (...options: string[]) => kindling(["backfill", "--json", ...options], envOfCommand());
const statusOf = async (id: string) => (await stack.record(id))?.status;
const calls = (route: string) => stack.emulator.stats.calls[route] ?? 0;
const idle = () =>
  until(async () => {
    expect(await stack.store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBe(0);
  }, 30_000);

const imported = (count: number) =>
  stack.emulator.kinde
    .importUsers(
      Array.from({ length: count }, (_, index) => ({
        phone: index % 2 === 0 ? `+6140000${1_000 + index}` : null,
        properties: { plan_tier: "pro", onboarded: index % 3 === 0 ? "true" : "false" },
        isSuspended: index % 5 === 0,
      })),
    )
    .map(({ id }) => id);

const since = () => stack.store.completeness.since();
const paceOf = (intervalMs: number) =>
  createSweepPace({ ...stack.store, own: { intervalMs, share: 0.1 }, onOther: () => {} });
const flagsOf = async (id: string) => (await stack.record(id))?.flags;

/** Records and profiles, without the members that differ between refreshes. */
async function snapshot(ids: readonly string[]) {
  const records = await stack.store.records.readMany(ids);
  return records.map(({ flags, profile }) => ({
    flags: { ...flags, fetchedAt: 0, ticket: 0 },
    // Kinde returns unset properties as null when fetching a user and omits them from search results.
    profile: {
      ...profile,
      properties: Object.fromEntries(Object.entries(profile?.properties ?? {}).filter(([, value]) => value !== null)),
    },
  }));
}

describe("kindling backfill", () => {
  it("fills the store from pages and refreshes only users whose flags need more", async () => {
    const { emulator } = await start();
    const { code: org } = emulator.kinde.createOrganization();
    emulator.kinde.createRole("chief", ["admin:access"]);
    const plain = emulator.kinde.importUsers(
      Array.from({ length: 700 }, () => ({
        organizations: [],
        properties: { plan_tier: "pro", onboarded: "true" },
      })),
    );
    const [member] = emulator.kinde.importUsers([{ organizations: [{ code: org, roles: ["chief"] }] }]);
    const { code, json, stderr } = await backfill();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toMatchObject({ users: 701, filled: 700, enqueued: 1, resumedAt: 0, complete: true });
    // Four pages, two of them empty, and details of 100 users per call.
    const { calls: made } = json as { calls: number };
    expect(made).toBeLessThanOrEqual(12);
    await idle();
    expect(await stack.record(String(plain[0]?.id))).toMatchObject({ flags: { tier: "pro", onboarded: true } });
    expect(await stack.record(String(member?.id))).toMatchObject({ flags: { admin: true } });
    expect(calls("GET /api/v1/user")).toBe(1);
    expect(calls("GET /api/v1/search/users") + calls("GET /api/v1/users")).toBe(made);
  });

  it("commits the same records from pages as a refresh does", async () => {
    const { emulator, store } = await start();
    const ids = imported(1_001);
    expect((await backfill()).json).toMatchObject({
      ...{ users: 1_001, filled: 1_001, enqueued: 0, calls: 5 + 11, resumedAt: 0, complete: true },
    });
    expect(calls("GET /api/v1/user")).toBe(0);
    for (const id of ids.slice(0, 20)) expect(await held(stack, id)).toEqual(expected(emulator.kinde.user(id)));
    const some = ids.slice(0, 60);
    const before = await snapshot(some);
    await store.queues.enqueueReprocess(some);
    await idle();
    expect(calls("GET /api/v1/user")).toBe(60);
    expect(await snapshot(some)).toEqual(before);
  }, 60_000);

  it("leaves no drift for verify to find", async () => {
    await start();
    imported(12);
    await backfill();
    const { code, json } = await kindling(["verify", "--all", "--json"], envOfCommand());
    expect({ code, json }).toMatchObject({ code: 0, json: { checked: 12 } });
  });

  it("refreshes users with incomplete list entries individually", async () => {
    // So few members that fetching them takes fewer calls than the listings of roles and permissions.
    const { emulator } = await start({ emulator: { users: 20 } });
    const withoutOrganization = imported(5);
    const { json } = await backfill();
    expect(json).toMatchObject({ users: 25, complete: true });
    const { filled, enqueued } = json as { filled: number; enqueued: number };
    expect(filled).toBeGreaterThanOrEqual(withoutOrganization.length);
    expect(filled + enqueued).toBe(25);
    expect(enqueued).toBeGreaterThan(0);
    await idle();
    for (const id of emulator.kinde.userIds()) expect(await held(stack, id)).toEqual(expected(emulator.kinde.user(id)));
    expect((await backfill()).json).toMatchObject({ filled: 0, enqueued: 0 });
    expect(await since()).toBeDefined();
  }, 60_000);

  it("changes nothing on a second run and fetches only users that differ", async () => {
    const { emulator } = await start({ env: { KINDLING_INDEX_LAG: "0s" } });
    const ids = imported(120);
    await backfill();
    const completeSince = await since();
    const before = await stack.store.records.tickets(ids);
    emulator.stats.reset();
    expect((await backfill()).json).toMatchObject({ users: 120, filled: 0, enqueued: 0, calls: 3 });
    expect(emulator.stats.total).toBe(3);
    expect(await stack.store.records.tickets(ids)).toEqual(before);
    expect(await since()).toBe(completeSince);
    emulator.kinde.setProperties(ids[7] ?? "", { plan_tier: "enterprise" });
    expect((await backfill()).json).toMatchObject({ filled: 0, enqueued: 1 });
    await until(async () => expect(await flagsOf(ids[7] ?? "")).toMatchObject({ tier: "enterprise" }));
  });

  it("does not mark a store complete that was wiped during the backfill", async () => {
    await start({ env: { KINDLING_SWEEP_PAGE_SIZE: "10" } });
    imported(60);
    stack.emulator.faults.set({ kind: "latency", path: "/api/v1/search/users", ms: 150 });
    const running = backfill();
    await until(async () => expect(await stack.store.redis.exists(stack.store.keys.ledgerPart("backfill"))).toBe(1));
    await dropKeys(stack.config);
    const { code, stderr } = await running;
    expect(code).toBe(1);
    expect(stderr).toContain("wiped meanwhile");
    expect(await since()).toBeUndefined();
  });

  it("shows a progress bar with users, rate, calls and time left", async () => {
    await start({ env: { KINDLING_SWEEP_PAGE_SIZE: "50" } });
    imported(400);
    stack.emulator.faults.set({ kind: "latency", path: "/api/v1/search/users", ms: 80 });
    let drawn = "";
    const onOutput = (text: string) => {
      drawn += text;
    };
    const { stdout } = await kindling(["backfill"], envOfCommand(), { isTTY: true, onOutput });
    expect(drawn).toMatch(/█+░+ \d+% · \d+ of about [\d,]+ users · [\d,]+\/s · \d+ calls · .* left/);
    expect(stdout).toContain("400 users: 400 filled");
  });

  it("resumes after Ctrl-C, and starts again with --restart", async () => {
    const env = { KINDLING_SWEEP_PAGE_SIZE: "10" };
    const { emulator, store } = await start({ env });
    emulator.kinde.importUsers(Array.from({ length: 95 }, () => ({})));
    emulator.faults.set({ kind: "latency", ms: 50, path: "/api/v1/search/users" });
    const interrupt = new AbortController();
    const place = store.keys.ledgerPart("backfill");
    const stopped = kindling(["backfill", "--json"], envOfCommand(), { interrupt });
    await until(async () => expect(JSON.parse((await store.redis.get(place)) ?? "{}").calls).toBeGreaterThan(1));
    pressCtrlC(interrupt);
    const { code, json, stderr } = await stopped;
    expect(code).toBe(130);
    expect(stderr).toContain("Stopped: run it again to go on.");
    const { users } = json as { users: number };
    expect(users).toBeGreaterThan(0);
    expect(users).toBeLessThan(95);
    expect((await backfill()).json).toMatchObject({ users: 95, filled: 95, resumedAt: users, complete: true });
    expect(await store.redis.exists(place)).toBe(0);
    expect((await backfill("--restart")).json).toMatchObject({ users: 95, filled: 0, resumedAt: 0 });
  });

  it("waits for rate limits and retries temporary failures", async () => {
    const { emulator } = await start();
    emulator.kinde.importUsers([{}, {}]);
    emulator.faults.set({ kind: "too_many_requests", resetSeconds: 1, count: 1, path: "/api/v1/search/users" });
    emulator.faults.set({ kind: "error", status: 503, count: 1, path: "/api/v1/search/users" });
    expect((await backfill()).json).toMatchObject({ users: 2, filled: 2, complete: true });
  });
});

describe("a backfill during live traffic", () => {
  it("does not overwrite a refresh that committed after the page was read", async () => {
    const { emulator, store } = await start();
    const [user] = emulator.kinde.importUsers([{ properties: { plan_tier: "free" } }]);
    const id = String(user?.id);
    // The page with the old value is in transit while the refresh runs.
    emulator.faults.set({ kind: "latency", ms: 1_500, path: "/api/v1/search/users", when: "after" });
    const running = backfill();
    await until(() => expect(calls("GET /api/v1/search/users")).toBe(1));
    emulator.kinde.setProperties(id, { plan_tier: "pro" });
    await store.queues.enqueueReprocess([id], "refresh");
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
    await running;
    await idle();
    expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } });
  });

  it("does not revert a write-through", async () => {
    const { emulator, store, config, world } = await start();
    const [user] = emulator.kinde.importUsers([{ properties: { onboarded: "false" } }]);
    const id = String(user?.id);
    emulator.faults.set({ kind: "search_lag", ms: 100_000 });
    const { setProperties } = createFlows({
      config,
      world,
      store,
      definitions: await loadDefinitions(config.flagsFile),
    });
    const call = { priority: "webhook", signal: new AbortController().signal } as const;
    await setProperties(id, { onboarded: "true" }, call);
    await backfill();
    await idle();
    expect(await stack.record(id)).toMatchObject({ flags: { onboarded: true } });
  });

  it("loses to a concurrent refresh, whose answer is newer than the index", async () => {
    const { store } = await start({ env: { KINDLING_INDEX_LAG: "1h" } });
    const [id = ""] = imported(1);
    // The refresh draws its ticket before the page and commits after it.
    const { ticket } = await store.ledger.begin(id);
    await backfill();
    expect(await flagsOf(id)).toMatchObject({ tier: "pro" });
    const { flags, profile } = await store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The page was not committed.");
    const newer = { ...flags, ticket, flags: { ...flags.flags, tier: "enterprise" } };
    expect(await store.records.commit(newer, profile)).toBe("committed");
    expect(await flagsOf(id)).toMatchObject({ tier: "enterprise" });
  });

  it("does not overwrite a webhook's refresh however far the index lags", async () => {
    const { emulator } = await start({ env: { KINDLING_INDEX_LAG: "0s" } });
    stack.subscribe();
    const [id = ""] = imported(1);
    // The page is read before the write and committed after it, when a record exists.
    const recover = emulator.faults.set({ kind: "latency", path: "/api/v1/users", ms: 400 });
    const running = backfill();
    await until(() => expect(calls("GET /api/v1/search/users")).toBe(1));
    emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    emulator.kinde.updateUser(id, { firstName: "Ada" });
    await until(async () => expect(await flagsOf(id)).toMatchObject({ tier: "enterprise" }));
    await running;
    recover();
    expect(await flagsOf(id)).toMatchObject({ tier: "enterprise" });
  });

  it("does not restore a user deleted by a webhook although the index still lists them", async () => {
    const { emulator, store } = await start({ env: { KINDLING_INDEX_LAG: "0s" }, emulator: { users: 60 } });
    stack.subscribe();
    const [id = ""] = [...emulator.kinde.userIds()].filter(
      (each) => emulator.kinde.user(each)?.organizations.length === 0,
    );
    emulator.faults.set({ kind: "search_lag", ms: 3_000_000 });
    emulator.kinde.deleteUser(id);
    await until(async () => expect(await statusOf(id)).toBe("deleted"));
    expect((await backfill()).json).toMatchObject({ users: 60, filled: expect.any(Number) });
    await idle();
    expect(await statusOf(id)).toBe("deleted");
    // Not even without the tombstone.
    await store.redis.del(store.keys.flags(id));
    expect((await backfill()).json).toMatchObject({ users: 60 });
    expect(await statusOf(id)).not.toBe("present");
  });

  it("fetches a listed user that was deleted without a webhook, and writes nothing about them", async () => {
    const { emulator } = await start({ emulator: { users: 60 } });
    const [id = ""] = [...emulator.kinde.userIds()].filter(
      (each) => emulator.kinde.user(each)?.organizations.length === 0,
    );
    emulator.faults.set({ kind: "search_lag", ms: 3_000_000 });
    emulator.kinde.deleteUser(id, { silent: true });
    const before = calls("GET /api/v1/user");
    await backfill();
    await until(() => expect(calls("GET /api/v1/user")).toBeGreaterThan(before));
    await until(async () => expect(await stack.store.absences.countUnknown([id])).toBe(1));
    expect(await stack.record(id)).toBeNull();
  });

  it("never returns an old value after a write through Kindling", async () => {
    const { emulator } = await start({ env: { KINDLING_INDEX_LAG: "0s" } });
    const ids = imported(30);
    const recover = emulator.faults.set({ kind: "latency", path: "/api/v1/users", ms: 400 });
    const running = backfill();
    await until(() => expect(calls("GET /api/v1/search/users")).toBe(1));
    const [id = ""] = ids;
    expect((await kindling(["set", id, "plan_tier=enterprise"], envOfCommand())).code).toBe(0);
    expect(await flagsOf(id)).toMatchObject({ tier: "enterprise" });
    await running;
    recover();
    expect(await flagsOf(id)).toMatchObject({ tier: "enterprise" });
  });
});

describe("the completeness mark", () => {
  it("is set only by a pass after which every user has a record", async () => {
    const { emulator, store } = await start({ workers: false });
    const { code: org } = emulator.kinde.createOrganization();
    emulator.kinde.importUsers([{ organizations: [] }, { organizations: [org] }]);
    expect((await backfill()).json).toMatchObject({ filled: 1, enqueued: 1 });
    expect(await store.completeness.since()).toBeUndefined();
    await stack.startWorkers();
    await idle();
    await backfill();
    expect(await store.completeness.since()).toBeDefined();
  });

  it("is lost with a wiped store and set again when the store is refilled from pages", async () => {
    const { emulator, store, config } = await start();
    const users = emulator.kinde.importUsers(Array.from({ length: 30 }, () => ({})));
    await backfill();
    await dropKeys(config);
    expect(await store.completeness.since()).toBeUndefined();
    emulator.stats.reset();
    await scheduleSweeps({ ...store, pace: paceOf(3_600_000), now: Date.now });
    await until(async () => expect(await store.completeness.since()).toBeDefined());
    for (const { id } of users) expect(await statusOf(id)).toBe("present");
    expect(calls("GET /api/v1/user")).toBe(0);
    expect((await store.sweeps.last())?.filled).toBe(30);
  });
});

describe("a wiped store", () => {
  it("refills automatically and reports when it is complete", async () => {
    const { emulator, store, config } = await start({ emulator: { users: 30 } });
    imported(30);
    const look = () => scheduleSweeps({ ...store, pace: paceOf(3_600_000), now: Date.now });
    const filled = () =>
      until(async () => {
        await look();
        expect(await since()).toBeGreaterThan(0);
      }, 30_000);
    await filled();
    await dropKeys(config);
    expect(await since()).toBeUndefined();
    await filled();
    for (const id of emulator.kinde.userIds()) expect(await held(stack, id)).toEqual(expected(emulator.kinde.user(id)));
    // Complete: no further sweep is enqueued.
    const sweeps = (await store.sweeps.last())?.mark.number;
    await look();
    expect(await store.queues.sweep.getJobCountByTypes("waiting", "active")).toBe(0);
    expect((await store.sweeps.last())?.mark.number).toBe(sweeps);
  }, 60_000);

  it("stays empty if sweeps are disabled", async () => {
    const { store } = await start();
    imported(3);
    await scheduleSweeps({ ...store, pace: paceOf(0), now: Date.now });
    expect(await store.queues.sweep.getJobCountByTypes("waiting", "active")).toBe(0);
    expect(await since()).toBeUndefined();
  });
});

describe("kindling sweep", () => {
  it("starts a sweep, waits for it and reports the result, as status does", async () => {
    const { emulator } = await start({ env: { KINDLING_INDEX_LAG: "0s" } });
    const [user] = emulator.kinde.importUsers([{}, {}]);
    await backfill();
    emulator.kinde.setProperties(String(user?.id), { plan_tier: "pro" });
    const env = envOf(stack.config);
    const { code, json } = await kindling(["sweep", "--wait", "--json"], env);
    expect(code).toBe(0);
    expect(json).toMatchObject({ started: true, finished: { users: 2, different: 1, missing: 0 } });
    await until(async () => expect(await stack.record(String(user?.id))).toMatchObject({ flags: { tier: "pro" } }));
    const status = await kindling(["status"], env);
    expect(status.stdout).toMatch(/Sweep\n.*everybody, since/);
    expect(status.stdout).toMatch(/last\s+\S+.* ago: 2 users, 1 different \(\w+ 1\), 0 missing, in \d+ m?s/);
  });

  it("reports that it waits for a worker and stops at Ctrl-C", async () => {
    await start({ workers: false });
    const interrupt = new AbortController();
    const onOutput = (text: string) => {
      if (text.includes("waiting for workers")) pressCtrlC(interrupt);
    };
    const { code } = await kindling(["sweep", "--wait"], envOfCommand(), { isTTY: true, interrupt, onOutput });
    expect(code).toBe(130);
  });

  it("reports a sweep that is already running", async () => {
    await start({ workers: false });
    const env = envOf(stack.config);
    expect((await kindling(["sweep"], env)).stdout).toBe("A sweep is under way.\n");
    expect((await kindling(["sweep"], env)).stdout).toBe("A sweep was under way already.\n");
    expect(await stack.store.queues.sweep.getWaitingCount()).toBe(1);
  });
});
