import { afterEach, describe, expect, it } from "vitest";
import { createRefresh } from "../../src/admin/compose.ts";
import { loadFlags } from "../../src/flags/load-flags.ts";
import { defineFlags } from "../../src/index.ts";
import { blankProfile } from "../../src/kinde/profile.ts";
import { scheduleSweeps } from "../../src/queue/schedule-sweeps.ts";
import { createFillPage } from "../../src/refresh/fill-page.ts";
import { beginSweep } from "../../src/refresh/sweep.ts";
import { envOf, kindling, pressCtrlC } from "../admin/command-line.ts";
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
});
const backfill = (...options: string[]) => kindling(["backfill", "--json", ...options], envOfCommand());
const statusOf = async (id: string) => (await stack.record(id))?.status;
const calls = (route: string) => stack.emulator.stats.calls[route] ?? 0;
const idle = () =>
  until(async () => {
    expect(await stack.store.queues.bulk.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);
  }, 30_000);

describe("kindling backfill", () => {
  it("fills the store from pages, with two calls more for none but those whose flags need more", async () => {
    const { emulator } = await start();
    const { code: org } = emulator.kinde.createOrganization();
    emulator.kinde.createRole("chief", ["admin:access"]);
    const plain = emulator.kinde.importUsers(
      Array.from({ length: 700 }, () => ({ properties: { plan_tier: "pro", onboarded: "true" } })),
    );
    const [member] = emulator.kinde.importUsers([{ organizations: [{ code: org, roles: ["chief"] }] }]);
    const { code, json, stderr } = await backfill();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toEqual({ users: 701, filled: 700, enqueued: 1, calls: 2, resumedAt: 0, complete: true });
    await idle();
    expect(await stack.record(String(plain[0]?.id))).toMatchObject({ flags: { tier: "pro", onboarded: true } });
    expect(await stack.record(String(member?.id))).toMatchObject({ flags: { admin: true } });
    expect(calls("GET /api/v1/user")).toBe(1);
  });

  it("makes records like those a refresh makes, but for what the search does not show", async () => {
    const { emulator, store } = await start();
    const properties = { plan_tier: "enterprise", onboarded: "true", compliance_region: "eu" };
    const [user] = emulator.kinde.importUsers([{ properties, firstName: "Ada", username: "ada" }]);
    const id = String(user?.id);
    await backfill();
    const filled = await store.records.read(id);
    await store.queues.enqueueReprocess([id], "refresh");
    await until(async () => {
      expect((await store.records.read(id)).flags?.ticket).toBeGreaterThan(Number(filled.flags?.ticket));
    });
    const refreshed = await store.records.read(id);
    expect(filled.flags?.flags).toEqual(refreshed.flags?.flags);
    const comparable = ({ profile }: typeof filled) => ({
      ...profile,
      phone: null,
      billing: null,
      properties: Object.entries(profile?.properties ?? {})
        .filter(([, value]) => value !== null)
        .sort(),
    });
    expect(comparable(filled)).toEqual(comparable(refreshed));
  });

  it("leaves users to the refresh whose flags look at what the search does not show", async () => {
    const { emulator, store, config, world } = await start({ workers: false });
    const [user] = emulator.kinde.importUsers([{}]);
    const flags = await loadFlags(config.flagsFile);
    const looking = defineFlags({ reachable: (profile) => profile.phone !== null });
    const state = beginSweep({ number: 1, previous: undefined, now: 0, fill: true });
    const call = { priority: "bulk", signal: new AbortController().signal } as const;
    expect((await createRefresh(config, world, store, looking).sweepStep(state, call)).refresh).toEqual([user?.id]);
    expect((await createRefresh(config, world, store, flags).sweepStep(state, call)).refresh).toEqual([]);
  });

  it("run twice changes nothing", async () => {
    const { emulator, store } = await start();
    const [user] = emulator.kinde.importUsers([{}]);
    await backfill();
    const first = await stack.record(String(user?.id));
    expect((await backfill()).json).toMatchObject({ users: 1, filled: 0, enqueued: 0, complete: true });
    expect(await stack.record(String(user?.id))).toEqual(first);
    expect(await store.completeness.since()).toBeDefined();
  });

  it("goes on where Ctrl-C stopped it, and --restart starts anew", async () => {
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

  it("waits out Kinde's limit and its passing troubles", async () => {
    const { emulator } = await start();
    emulator.kinde.importUsers([{}, {}]);
    emulator.faults.set({ kind: "too_many_requests", resetSeconds: 1, count: 1, path: "/api/v1/search/users" });
    emulator.faults.set({ kind: "error", status: 503, count: 1, path: "/api/v1/search/users" });
    expect((await backfill()).json).toMatchObject({ users: 2, filled: 2, complete: true });
  });
});

describe("a backfill beside live traffic", () => {
  it("never takes what a page showed before a refresh that ended meanwhile", async () => {
    const { emulator, store } = await start();
    const [user] = emulator.kinde.importUsers([{ properties: { plan_tier: "free" } }]);
    const id = String(user?.id);
    // The page is on its way, with the user as they were, when the refresh begins and ends.
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

  it("loses to whatever was committed within the index' lag, even under an earlier ticket than the page's", async () => {
    const { store, emulator } = await start({ workers: false });
    const [user, gone] = emulator.kinde.importUsers([{}, {}]);
    const [id, deleted] = [String(user?.id), String(gone?.id)];
    const { fillPage } = await fillingOf(stack);
    // Fetched a minute ago: the index may be older than that.
    const askedAt = Date.now();
    const stamp = { fetchedAt: askedAt - 60_000, ticket: (askedAt - 60_000) * 1000, schema: "s" };
    await store.records.commit({ flags: { tier: "pro" }, status: "present", ...stamp }, blankProfile(id));
    await store.records.bury(deleted, { flags: {}, status: "deleted", ...stamp });
    await fillPage([searched(id), searched(deleted)], { ticket: askedAt * 1000, askedAt });
    expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } });
    expect(await statusOf(deleted)).toBe("deleted");
  });

  it("does not undo a write-through", async () => {
    const { emulator, store, config, world } = await start();
    const [user] = emulator.kinde.importUsers([{ properties: { onboarded: "false" } }]);
    const id = String(user?.id);
    emulator.faults.set({ kind: "search_lag", ms: 100_000 });
    const { setProperties } = createRefresh(config, world, store, await loadFlags(config.flagsFile));
    const call = { priority: "webhook", signal: new AbortController().signal } as const;
    await setProperties(id, { onboarded: "true" }, call);
    await backfill();
    await idle();
    expect(await stack.record(id)).toMatchObject({ flags: { onboarded: true } });
  });
});

describe("the mark of completeness", () => {
  it("is set by a walk that left nobody without a record, and not before", async () => {
    const { emulator, store } = await start({ workers: false });
    const { code: org } = emulator.kinde.createOrganization();
    emulator.kinde.importUsers([{}, { organizations: [org] }]);
    expect((await backfill()).json).toMatchObject({ filled: 1, enqueued: 1 });
    expect(await store.completeness.since()).toBeUndefined();
    await stack.startWorkers();
    await idle();
    await backfill();
    expect(await store.completeness.since()).toBeDefined();
  });

  it("goes with a wiped store, which is filled by itself from pages, and is set again", async () => {
    const { emulator, store, config } = await start();
    const users = emulator.kinde.importUsers(Array.from({ length: 30 }, () => ({})));
    await backfill();
    await dropKeys(config);
    expect(await store.completeness.since()).toBeUndefined();
    emulator.stats.reset();
    await scheduleSweeps({ ...store, intervalMs: 3_600_000 });
    await until(async () => expect(await store.completeness.since()).toBeDefined());
    for (const { id } of users) expect(await statusOf(id)).toBe("present");
    expect(calls("GET /api/v1/user")).toBe(0);
    expect((await store.sweeps.last())?.filled).toBe(30);
  });
});

describe("kindling sweep", () => {
  it("starts one, waits for it, and tells what it found; status tells it too", async () => {
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
    expect(status.stdout).toMatch(/last\s+\S+.* ago: 2 users, 1 different, 0 missing/);
  });

  it("says that one is under way already", async () => {
    await start({ workers: false });
    const env = envOf(stack.config);
    expect((await kindling(["sweep"], env)).stdout).toBe("A sweep is under way.\n");
    expect((await kindling(["sweep"], env)).stdout).toBe("A sweep was under way already.\n");
    expect(await stack.store.queues.sweep.getWaitingCount()).toBe(1);
  });
});

async function fillingOf({ store, config }: Stack) {
  const flags = await loadFlags(config.flagsFile);
  const { indexLagMs } = config.sweep;
  return { fillPage: createFillPage({ records: store.records, flags, keep: config.profile, indexLagMs }) };
}

function searched(id: string) {
  const nothing = { providedId: null, email: null, username: null, firstName: null, lastName: null, picture: null };
  const figures = { totalSignIns: 0, failedSignIns: 0, lastSignedIn: null, createdOn: null, isSuspended: false };
  return { id, ...nothing, ...figures, properties: {}, organizations: [], identities: [] };
}
