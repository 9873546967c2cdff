import { defineFlags, type FlagDeclarations, type Profile, permission, plan } from "kindling";
import { afterEach, describe, expect, it } from "vitest";
import { createFlows } from "../../src/service/create-flows.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { type WalkKind, walkKinds } from "../../src/sweep/walk-log.ts";
import { turns } from "../../src/sweep/walks.ts";
import type { WalksState } from "../../src/sweep/walks-state.ts";
import { runSweep } from "../support/run-sweep.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

/** Starts a deployment that gets no webhooks, with a complete store. */
async function start(options: StackOptions = {}) {
  const env = { KINDLING_INDEX_LAG: "0s", KINDLING_WRITE_SETTLE: "1ms", ...options.env };
  stack = await startStack({ ...options, env });
  return stack;
}

/** Fills the store. */
async function fill() {
  while ((await stack.store.completeness.since()) === undefined) await runSweep(stack);
}

/** Runs all walks and waits for the refreshes they requested. */
async function walk(kinds: readonly WalkKind[] = walkKinds) {
  const { walkLog, queues, redis, keys } = stack.store;
  // Otherwise they are not due within a minute.
  await redis.del(keys.ledgerPart("sweep:walks"));
  await queues.enqueueWalks();
  return until(async () => {
    const histories = await walkLog.read();
    for (const kind of kinds) expect(histories[kind]?.last ?? histories[kind]?.failed).toBeTruthy();
    expect(await queues.sweep.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);
    expect(await queues.fanout.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);
    expect(await queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBe(0);
    return histories;
  }, 20_000);
}

const calls = (route: string) => stack.emulator.stats.calls[route] ?? 0;
const fetches = () => calls("GET /api/v1/user");

/** What Redis holds of a user's memberships, as keys. */
async function held(id: string) {
  const profile = (await stack.store.records.read(id)).profile;
  return (profile?.organizations ?? []).map(({ code, roles, permissions }) => ({
    code,
    roles: roles.map(({ key }) => key).sort(),
    permissions: permissions.map(({ key }) => key).sort(),
  }));
}

const truth = (id: string) =>
  (stack.emulator.kinde.user(id)?.organizations ?? []).map(({ code, roles, permissions }) => ({
    code,
    roles: [...roles].sort(),
    permissions: [...permissions].sort(),
  }));

async function expectAllTrue() {
  for (const id of stack.emulator.kinde.userIds()) expect(await held(id)).toEqual(truth(id));
}

/** Members of the first organization, by whether they have a role. */
function membersOf() {
  const { kinde } = stack.emulator;
  const code = kinde.organizations()[0]?.code ?? "";
  const ids = [...kinde.userIds()].filter((id) => truth(id).some((membership) => membership.code === code));
  return { code, ids };
}

describe("walks over what the search does not show", () => {
  it("find nothing to fetch in a store that is true, with calls by role and by organization and permission", async () => {
    const { emulator } = await start({ emulator: { users: 120 } });
    await fill();
    await expectAllTrue();
    emulator.stats.reset();
    const histories = await walk();
    const nothing = { different: 0, disputed: 0 };
    expect(histories).toMatchObject({
      roles: { last: nothing },
      permissions: { last: nothing },
      plans: { last: nothing },
    });
    expect(histories.roles?.last?.compared).toBe(120);
    expect(fetches()).toBe(0);
    // Both walks list the roles: one call, and two for each of three.
    expect(histories.roles?.last?.calls).toBe(7);
    expect(calls("GET /api/v1/organizations/{org_code}/users")).toBe(emulator.kinde.organizations().length * 5);
    const customers = [...emulator.kinde.userIds()].filter((id) => emulator.kinde.user(id)?.billing);
    expect(calls("GET /api/v1/billing/agreements")).toBe(customers.length);
    expect(histories.plans?.last?.calls).toBe(customers.length + calls("GET /api/v1/users"));
    expect(await stack.store.redis.keys(`*${stack.config.prefix}*sweep:grants:1*`)).toEqual([]);
  }, 60_000);

  it("find granted and revoked roles and direct permissions, and fetch those users only", async () => {
    const { emulator } = await start({ emulator: { users: 120 } });
    await fill();
    const { code, ids } = membersOf();
    const [granted = "", revoked = "", direct = "", undirected = ""] = ids;
    emulator.kinde.setPermissions(undirected, code, ["reports:export"]);
    await runSweep(stack);
    await walk();
    await expectAllTrue();
    emulator.kinde.setRoles(granted, code, ["admin"]);
    emulator.kinde.setRoles(revoked, code, []);
    emulator.kinde.setPermissions(direct, code, ["billing:manage"]);
    emulator.kinde.setPermissions(undirected, code, []);
    emulator.stats.reset();
    const found = await walk();
    await expectAllTrue();
    const different = Object.values(found).reduce((sum, { last }) => sum + (last?.different ?? 0), 0);
    expect(different).toBeGreaterThanOrEqual(4);
    // The walks run side by side, so each can find the same user.
    expect(fetches()).toBeGreaterThanOrEqual(4);
    expect(fetches()).toBeLessThanOrEqual(8);
  }, 60_000);

  it("find a role whose permissions changed, and refresh its holders", async () => {
    let reversed = false;
    const reversing: typeof fetch = async (input, init) => {
      const answer = await fetch(input, init);
      if (!reversed || !/\/roles\/[^/]+\/permissions/.test(String(input))) return answer;
      const { permissions, ...rest } = (await answer.json()) as { permissions: object[] };
      return Response.json({ ...rest, permissions: permissions.reverse() });
    };
    const { emulator } = await start({ emulator: { users: 60 }, world: { fetch: reversing } });
    await fill();
    await walk();
    // The same permissions in another order are no change.
    reversed = true;
    emulator.stats.reset();
    await walk(["roles"]);
    expect(calls("GET /api/v1/roles/{role_id}/permissions")).toBeGreaterThan(0);
    expect(fetches()).toBe(0);
    emulator.kinde.updateRole("member", { permissions: [] });
    await walk(["roles"]);
    await expectAllTrue();
  }, 60_000);

  it("find plans that changed, and users who became customers, with a call for each customer", async () => {
    const { emulator, store } = await start({ emulator: { users: 60 } });
    await fill();
    // One user without a record, who cannot be fetched, holds up nobody's comparison.
    await store.completeness.clear();
    const ids = [...emulator.kinde.userIds()];
    const customers = ids.filter((id) => emulator.kinde.user(id)?.billing);
    const [changed = ""] = customers;
    const other = ids.find((id) => !customers.includes(id)) ?? "";
    emulator.kinde.assignPlan(changed, "gold");
    emulator.kinde.assignPlan(other, "silver");
    emulator.stats.reset();
    const { plans } = await walk();
    expect(plans?.last).toMatchObject({ compared: ids.length, different: 2 });
    const plansOf = async (id: string) =>
      (await stack.store.records.read(id)).profile?.billing.agreements.map(({ planCode }) => planCode);
    expect(await Promise.all([changed, other].map(plansOf))).toEqual([["gold"], ["silver"]]);
    expect(fetches()).toBe(2);
    expect(calls("GET /api/v1/users")).toBeLessThanOrEqual(3);
  }, 60_000);

  it("wait longer each time before they fetch a user whose listing and account in Kinde disagree", async () => {
    let lies = false;
    const lying: typeof fetch = async (input, init) => {
      const answer = await fetch(input, init);
      if (!lies || !/\/roles\/[^/]+\/users/.test(String(input))) return answer;
      const { users, ...rest } = (await answer.json()) as { users: object[] };
      return Response.json({ ...rest, users: users.slice(1) });
    };
    const { emulator, store } = await start({ emulator: { users: 40 }, world: { fetch: lying } });
    await fill();
    lies = true;
    const { redis, keys } = store;
    /** Moves all requests for a fetch, and the first discovery further, into the past. */
    const pass = async (ms: number, longerAgoMs = 0) => {
      for (const key of walkKinds.map((kind) => keys.ledgerPart(`sweep:disputes:${kind}`))) {
        for (const [userId, note] of Object.entries(await redis.hgetall(key))) {
          const [fingerprint, foundAt, askedAt] = note.split(":");
          await redis.hset(key, userId, `${fingerprint}:${Number(foundAt) - ms - longerAgoMs}:${Number(askedAt) - ms}`);
        }
      }
    };
    expect((await walk()).roles?.last).toMatchObject({ different: 3, disputed: 0 });
    // The walks run at the same time and skip users that another one has just fetched. Each must find the difference once.
    for (let round = 0; round < 2; round += 1) {
      await pass(0, 3_600_000);
      await walk();
    }
    await pass(0, 3_600_000);
    emulator.stats.reset();
    expect((await walk()).roles?.last).toMatchObject({ different: 0, disputed: 3 });
    expect(fetches()).toBe(0);
    await pass(10_800_000);
    expect((await walk()).roles?.last).toMatchObject({ different: 0, disputed: 3 });
    expect(fetches()).toBeGreaterThanOrEqual(3);
    await expectAllTrue();
  }, 60_000);

  it("go on in a new job after hours, as a job fails when its worker was killed a few times", async () => {
    const { store } = await start({ emulator: { users: 20 } });
    await fill();
    const { queues, walkLog } = store;
    const { enqueueMoreWalks } = queues;
    const continued: unknown[] = [];
    queues.enqueueMoreWalks = async (state) => {
      continued.push(state);
      await enqueueMoreWalks(state);
    };
    const deduplication = { id: "walks" };
    await queues.sweep.add("walks", {}, { timestamp: Date.now() - 7 * 3_600_000, deduplication });
    await until(async () => expect(Object.keys(await walkLog.read()).sort()).toEqual([...walkKinds].sort()), 20_000);
    expect(continued).toHaveLength(1);
    expect(Object.keys((continued[0] as WalksState).walks)).toContain("roles");
  }, 60_000);

  it("give up alone if a scope is missing, and leave the part to the age", async () => {
    const { emulator, store } = await start({ emulator: { users: 40 } });
    await fill();
    emulator.faults.set({ kind: "error", status: 403, path: "/api/v1/permissions" });
    const histories = await walk();
    expect(histories.permissions).toMatchObject({
      last: null,
      failed: { reason: expect.stringContaining("read:permissions") },
    });
    expect(histories.roles?.failed).toBeNull();
    await store.queues.enqueueSweep();
    await until(async () =>
      expect((await store.sweeps.last())?.aged).toMatchObject({ members: true, customers: false }),
    );
  }, 60_000);
});

describe("walks over permissions", () => {
  /** Runs the walks that are due here, without workers. Returns the calls of each, and whose turn it was. */
  async function walkHere(declarations: FlagDeclarations) {
    const { walkLog, redis, keys } = stack.store;
    const { walks } = createFlows({ ...stack, definitions: defineFlags(declarations) });
    await redis.del(keys.ledgerPart("sweep:walks"));
    const call = { priority: "bulk", signal: new AbortController().signal } as const;
    const refresh: string[] = [];
    let taken = "";
    const steps: { kind: string; calls: number; underWay: string[] }[] = [];
    let state: WalksState = { walks: {}, turn: 0 };
    for (;;) {
      state = await walks.beginDue(state);
      const step = await walks.step(state, call);
      if (step === undefined) break;
      const { turn, walks: under } = step.state;
      const kind = turns[(turn + turns.length - 1) % turns.length] ?? "";
      steps.push({ kind, calls: step.calls, underWay: Object.keys(under) });
      if (Object.keys(under).length > 1) taken += turn === 0 ? "o" : "rplrpl"[turn - 1];
      refresh.push(...step.refresh);
      ({ state } = step);
    }
    const histories = await walkLog.read();
    const callsOf = Object.entries(histories).map(([kind, { last }]) => [kind, last?.calls]);
    const needed = walkKinds.filter((each) => steps.some(({ kind }) => kind === each));
    return { calls: Object.fromEntries(callsOf), needed, refresh, taken, steps };
  }

  const admin = permission("admin:access");
  const suspended = (profile: Profile) => profile.isSuspended;
  const exports = (profile: Profile) =>
    profile.isSuspended || profile.organizations.some((each) => each.permissions.some(({ key }) => key === "x"));
  /** One call for the roles, two for each of three, one for the permissions, one for the organizations. */
  const fixed = 9;

  it("take as many calls as walks over plans while both are under way, though a step over plans takes many", async () => {
    await start({ emulator: { users: 1_500 }, workers: false });
    const definitions = { admin, paid: plan("pro") };
    await runSweep(stack, createFlows({ ...stack, definitions: defineFlags(definitions) }));
    const { calls, steps } = await walkHere(definitions);
    const last = steps.findLastIndex(({ underWay }) => underWay.includes("permissions"));
    // A step that compares records takes no call, but a turn.
    const turnsOf = (kind: string) =>
      steps.slice(0, last).flatMap((step) => (step.kind === kind ? Math.max(1, step.calls) : []));
    const sum = (each: readonly number[]) => each.reduce((total, one) => total + one, 0);
    const [permissions, plans] = [turnsOf("permissions"), turnsOf("plans")];
    expect(calls.plans).toBeGreaterThan(sum(permissions) + 2 * Math.max(...plans));
    // One step over plans is ahead, at most.
    expect(sum(plans)).toBeLessThanOrEqual(sum(permissions) + Math.max(...plans));
  }, 60_000);

  it("list those that flags read first, the others in a walk of their own, and all if a function reads any", async () => {
    const { emulator } = await start({ emulator: { users: 60 }, workers: false });
    await runSweep(stack, createFlows({ ...stack, definitions: defineFlags({ admin }) }));
    const organizations = emulator.kinde.organizations().length;
    const { code, ids } = membersOf();
    emulator.kinde.setPermissions(ids[0] ?? "", code, ["reports:export"]);

    const declared = await walkHere({ admin });
    expect(declared.calls).toMatchObject({
      permissions: fixed + organizations,
      otherPermissions: fixed + 4 * organizations,
    });
    expect(new Set(declared.refresh)).toEqual(new Set([ids[0]]));
    // The others take one turn where the rest take two.
    expect(declared.taken.replaceAll("l", "")).toMatch(/ppoppop/);
    // Of this function it is not known whether it reads permissions: the walk over the roles shows that it does not.
    expect((await walkHere({ admin, suspended })).calls).toMatchObject({ permissions: fixed + organizations });
    const reading = await walkHere({ admin, exports });
    expect(reading.calls).toMatchObject({ permissions: fixed + 5 * organizations });
    // It compares the others too.
    expect(reading.needed).toEqual(["roles", "permissions", "plans"]);
    expect(reading.calls.otherPermissions).toBe(reading.calls.permissions);
    const none = await walkHere({ suspended });
    expect(none.needed).toEqual(["roles", "otherPermissions", "plans"]);
    expect(none.calls).toMatchObject({ otherPermissions: fixed + 5 * organizations });
    expect(none.calls).not.toHaveProperty("permissions");
  }, 60_000);

  it("leave nobody to the age when definitions change, not even before it is known what those read", async () => {
    const { emulator } = await start({ emulator: { users: 60 }, workers: false });
    await runSweep(stack, createFlows({ ...stack, definitions: defineFlags({ suspended }) }));
    const agedAfter = (declarations: FlagDeclarations, at: number) =>
      createFlows({ ...stack, definitions: defineFlags(declarations) }).walks.agedSince(at);
    const minuteAgo = Date.now() - 60_000;
    expect(await agedAfter({ suspended }, minuteAgo)).toEqual({ members: true, customers: true });
    await walkHere({ suspended });
    const nobody = { members: false, customers: false };
    expect(await agedAfter({ suspended }, minuteAgo)).toEqual(nobody);
    expect(await agedAfter({ suspended, kept: (profile: Profile) => profile.id !== "" }, minuteAgo)).toEqual(nobody);
    expect(await agedAfter({ suspended, admin }, minuteAgo)).toEqual(nobody);
    expect(await agedAfter({ admin }, minuteAgo)).toEqual(nobody);
    // A walk that gives up compared nothing.
    emulator.faults.set({ kind: "error", status: 403, path: "/api/v1/permissions" });
    await walkHere({ admin });
    expect(await agedAfter({ admin }, minuteAgo)).toEqual({ members: true, customers: false });
  }, 60_000);

  it("find flags that changed although records keep no permissions, and no others", async () => {
    const env = { KINDLING_PROFILE: "account,properties,organizations" };
    const { emulator, store } = await start({ emulator: { users: 60 }, workers: false, env });
    const flows = createFlows({ ...stack, definitions: defineFlags({ admin, suspended }) });
    const { code, ids } = membersOf();
    const [granted = "", other = ""] = ids.filter((id) => !truth(id).some(({ roles }) => roles.includes("admin")));
    await runSweep(stack, flows);
    for (const id of emulator.kinde.userIds())
      await flows.refreshUser(id, { priority: "bulk", signal: new AbortController().signal });
    expect((await walkHere({ admin, suspended })).refresh).toEqual([]);
    emulator.kinde.setPermissions(granted, code, ["admin:access"]);
    emulator.kinde.setPermissions(other, code, ["reports:export"]);
    const { refresh, needed, calls: made } = await walkHere({ admin, suspended });
    expect(refresh).toEqual([granted]);
    expect(needed).toEqual(["roles", "permissions", "plans"]);
    expect(made.permissions).toBe(fixed + emulator.kinde.organizations().length);
    await flows.refreshUser(granted, { priority: "bulk", signal: new AbortController().signal });
    expect((await store.records.read(granted)).flags?.flags).toMatchObject({ admin: true });

    // A function that begins to read permissions, by something outside of its own text.
    let looks = false;
    const late = (profile: Profile) =>
      looks && profile.organizations.some((each) => each.permissions.some(({ key }) => key === "reports:export"));
    const changed = createFlows({ ...stack, definitions: defineFlags({ admin, late }) });
    const refreshAll = async () => {
      for (const id of emulator.kinde.userIds())
        await changed.refreshUser(id, { priority: "bulk", signal: new AbortController().signal });
    };
    await refreshAll();
    await walkHere({ admin, late });
    looks = true;
    await refreshAll();
    expect((await store.records.read(other)).flags?.flags).toMatchObject({ late: true });
    // The listings of one permission do not tell what it sees.
    expect((await walkHere({ admin, late })).refresh).toEqual([]);
    const all = await walkHere({ admin, late });
    expect(all.refresh).toEqual([]);
    expect(all.calls.permissions).toBe(fixed + 5 * emulator.kinde.organizations().length);
  }, 60_000);
});

describe("a walk that Kinde answers in part", () => {
  const call = { priority: "bulk", signal: new AbortController().signal } as const;

  /** Walks over everything, on a clock that pauses move on. */
  function pausable() {
    let now = Date.now();
    const clock = async () => now;
    const store = { ...stack.store, ledger: { ...stack.store.ledger, clock } };
    const { walks } = createFlows({ ...stack, store, definitions: defineFlags({ admin: permission("admin:access") }) });
    const events: string[] = [];
    let state: WalksState = { walks: {}, turn: 0 };
    return {
      events,
      underWay: () => Object.keys(state.walks).sort(),
      /** Takes steps until no walk is under way, or all are paused for the `pauses`th time. */
      async run(pauses: number) {
        for (let paused = 0; paused < pauses; ) {
          const step = await walks.step(await walks.beginDue(state), call);
          if (step === undefined) return;
          ({ state } = step);
          if (step.finished) events.push(`${step.finished.kind} finished`);
          if (step.unanswered) events.push(`${step.unanswered.kind} unanswered`);
          if (step.failed) events.push(`${step.failed.kind} failed`);
          if (step.waitMs === undefined) continue;
          paused += 1;
          now += step.waitMs;
        }
      },
    };
  }

  it("gives up alone after five attempts a minute apart, and the others go on meanwhile", async () => {
    const { emulator, store } = await start({ emulator: { users: 60 }, workers: false });
    await runSweep(stack, createFlows({ ...stack, definitions: defineFlags({ admin: permission("admin:access") }) }));
    const { code } = membersOf();
    emulator.faults.set({ kind: "error", status: 500, path: `/api/v1/organizations/${code}/users` });
    const { run, events, underWay } = pausable();
    await run(1);
    // All others went on meanwhile.
    expect(underWay()).toEqual(["otherPermissions", "permissions"]);
    expect(events.sort()).toEqual([
      "otherPermissions unanswered",
      "permissions unanswered",
      "plans finished",
      "roles finished",
    ]);
    await run(20);
    const of = (kind: string) => events.filter((event) => event.startsWith(`${kind} `));
    expect(of("permissions").slice(0, 5)).toEqual([...Array(4).fill("permissions unanswered"), "permissions failed"]);
    expect(of("roles").length).toBeGreaterThanOrEqual(5);
    const { permissions } = await store.walkLog.read();
    expect(permissions).toMatchObject({ last: null, failed: { reason: expect.stringContaining("500") } });
  }, 60_000);

  it("goes on after an outage of Kinde, however long that was", async () => {
    const { emulator, store } = await start({ emulator: { users: 60 }, workers: false });
    await runSweep(stack, createFlows({ ...stack, definitions: defineFlags({ admin: permission("admin:access") }) }));
    const { run, events, underWay } = pausable();
    emulator.faults.set({ kind: "error", status: 503 });
    for (let attempt = 0; attempt < 10; attempt += 1)
      await expect(run(1)).rejects.toMatchObject({ code: "kinde_unavailable" });
    emulator.faults.clear();
    await run(1);
    expect(underWay()).toEqual([]);
    expect(events.sort()).toEqual([
      "otherPermissions finished",
      "permissions finished",
      "plans finished",
      "roles finished",
    ]);
    expect((await store.walkLog.read()).roles?.failed).toBeNull();
  }, 60_000);
});

describe("filling a store", () => {
  const suspended = (profile: Profile) => profile.isSuspended;
  const manages = ({ organizations }: Profile) =>
    organizations.some(({ permissions }) => permissions.some(({ key }) => key === "billing:manage"));

  it("takes roles and permissions from the listings, as a refresh of each member would", async () => {
    const { emulator, store } = await start({ emulator: { users: 300 } });
    const { code, ids } = membersOf();
    emulator.kinde.setPermissions(ids[0] ?? "", code, ["billing:manage"]);
    emulator.stats.reset();
    const { users, filled } = await runSweep(stack);
    expect({ users, filled }).toEqual({ users: 300, filled: 300 });
    expect(fetches()).toBe(0);
    expect(await store.completeness.since()).toBeDefined();
    await expectAllTrue();
    const byListing = await Promise.all(ids.slice(0, 20).map((id) => stack.record(id)));
    await store.queues.enqueueReprocess(ids.slice(0, 20));
    await until(async () => expect(fetches()).toBe(20));
    await until(async () =>
      expect(await store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active")).toBe(0),
    );
    const byFetch = await Promise.all(ids.slice(0, 20).map((id) => stack.record(id)));
    expect(byListing.map((record) => record?.flags)).toEqual(byFetch.map((record) => record?.flags));
    // No plans: each customer takes a call, but no member does.
    expect(emulator.stats.total).toBeLessThan(300);
  }, 60_000);

  it.each([
    { reads: "only what the search shows", flags: { suspended }, listed: false },
    { reads: "permissions, too", flags: { suspended, manages }, listed: true },
  ])(
    "lists roles and permissions only if a function reads them: it reads $reads",
    async ({ flags, listed }) => {
      await start({ env: { KINDLING_PROFILE: "properties,organizations" }, emulator: { users: 120 } });
      const flows = createFlows({ ...stack, definitions: defineFlags(flags) });
      expect(await runSweep(stack, flows)).toMatchObject({ users: 120, filled: 120 });
      expect(fetches()).toBe(0);
      expect(calls("GET /api/v1/organizations/{org_code}/users") > 0).toBe(listed);
    },
    60_000,
  );

  it("fetches members one by one if a scope for the listings is missing", async () => {
    const { emulator } = await start({ emulator: { users: 120 } });
    emulator.faults.set({ kind: "error", status: 403, path: "/api/v1/roles" });
    await fill();
    expect(fetches()).toBeGreaterThan(50);
    await expectAllTrue();
  }, 60_000);

  it.each([
    ["the permissions of an organization", () => `/api/v1/organizations/${membersOf().code}/users`],
    ["many plans", () => "/api/v1/billing/agreements"],
  ])(
    "fetches users one by one if Kinde does not answer for %s, time and again",
    async (_what, path) => {
      const { emulator } = await start({ emulator: { users: 120 }, workers: false });
      emulator.faults.set({ kind: "error", status: 500, path: path() });
      const flows = createFlows({ ...stack, definitions: defineFlags({ admin: permission("admin:access") }) });
      const waits: number[] = [];
      let state = beginSweep({ number: 1, previous: undefined, now: Date.now(), fill: true });
      const refresh: string[] = [];
      for (let done = false; !done; ) {
        const step = await flows.sweepStep(state, { priority: "bulk", signal: new AbortController().signal });
        refresh.push(...step.refresh);
        if (step.waitMs !== undefined) waits.push(step.waitMs);
        ({ state, done } = step);
      }
      expect(waits).toEqual([60_000, 60_000, 60_000, 60_000]);
      expect(state.users).toBe(120);
      expect(refresh.length).toBeGreaterThan(50);
    },
    60_000,
  );

  it("gathers again if Redis lost what was gathered", async () => {
    const { emulator, store } = await start({ env: { KINDLING_SWEEP_PAGE_SIZE: "60" }, emulator: { users: 180 } });
    const gathered = () => store.redis.keys(`*${stack.config.prefix}*sweep:grants:*`);
    emulator.faults.set({ kind: "latency", ms: 300, path: "/api/v1/search/users" });
    await store.queues.enqueueSweep();
    // The first page is filled, and the next one is on its way.
    await until(() => expect(calls("GET /api/v1/users")).toBe(1));
    await store.redis.del(await gathered());
    await until(async () => expect(await store.sweeps.last()).toBeDefined(), 20_000);
    expect(calls("GET /api/v1/roles")).toBe(2);
    await until(async () =>
      expect(await store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active")).toBe(0),
    );
    await expectAllTrue();
    expect(await gathered()).toEqual([]);
  }, 60_000);
});
