import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AuditUserOptions, auditUser } from "../../src/audit/audit-user.ts";
import { loadDefinitions } from "../../src/load-definitions.ts";
import type { RefreshUser } from "../../src/refresh/refresh-user.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
let options: AuditUserOptions;
let refreshUser: RefreshUser;
let id: string;
const call = { priority: "bulk", signal: new AbortController().signal } as const;
const fetched = "GET /api/v1/user";

beforeEach(async () => {
  stack = await startStack({ workers: false, emulator: { users: 1 } });
  const { config, world, store } = stack;
  const flags = await loadDefinitions(config.flagsFile);
  const refresh = createFlows({ config, world, store, definitions: flags });
  ({ refreshUser } = refresh);
  options = {
    api: refresh.kinde,
    flags,
    records: store.records,
    ledger: store.ledger,
    keep: config.profile,
    signIns: true,
    momentMs: 30,
    patienceMs: 60,
  };
  [id = ""] = stack.emulator.kinde.userIds();
  await refreshUser(id, call);
});

afterEach(() => stack.close());

const audit = () => auditUser(options, id, call);

/** Does something once, right after the audit has fetched for the first time. */
function afterFirstLook(task: () => Promise<unknown>) {
  const { records } = options;
  let done = false;
  const read = async (userId: string) => {
    const stored = await records.read(userId);
    if (!done) {
      done = true;
      await task();
    }
    return stored;
  };
  options = { ...options, records: { read } };
}

/** As an event of the user would. */
const owe = (agoMs = 0) =>
  stack.store.redis.zadd(stack.store.keys.ledger, (Date.now() - agoMs) * 1000, id) as Promise<unknown>;

describe("an audit of a record", () => {
  it("finds one that is right to be the same, with one look", async () => {
    stack.emulator.stats.reset();
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
    expect(stack.emulator.stats.calls[fetched]).toBe(1);
  });

  it("does not count a change that is refreshed while it looks", async () => {
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    afterFirstLook(() => refreshUser(id, call));
    expect(await audit()).toEqual({ verdict: "same", looks: 2 });
  });

  it("waits for the ledger to owe nothing before it counts a mismatch", async () => {
    options = { ...options, patienceMs: 10_000 };
    stack.emulator.kinde.suspendUser(id);
    await owe();
    const { entry } = options.ledger;
    let asked = 0;
    const ledger = {
      ...options.ledger,
      // Settled by a worker, but only when the audit has waited for a while.
      entry: async (userId: string) => {
        asked += 1;
        if (asked === 4) await refreshUser(id, call);
        return entry(userId);
      },
    };
    options = { ...options, ledger };
    expect(await audit()).toEqual({ verdict: "same", looks: 2 });
  });

  it("does not count what changed at Kinde between two looks", async () => {
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    afterFirstLook(async () => {
      await refreshUser(id, call);
      stack.emulator.kinde.setProperties(id, { compliance_region: "mars" });
    });
    const { records } = options;
    let reads = 0;
    const read = async (userId: string) => {
      reads += 1;
      const stored = await records.read(userId);
      if (reads === 2) await refreshUser(id, call);
      return stored;
    };
    options = { ...options, records: { read } };
    expect(await audit()).toEqual({ verdict: "same", looks: 3 });
  });

  it("gives a late webhook's refresh its time", async () => {
    options = { ...options, patienceMs: 10_000 };
    stack.emulator.kinde.suspendUser(id);
    const { entry } = options.ledger;
    let asked = 0;
    const ledger = {
      ...options.ledger,
      entry: async (userId: string) => {
        asked += 1;
        // Asked by the first look, by the wait after it, by the second look: only now the event is acknowledged.
        if (asked === 3) await owe();
        if (asked === 4) await refreshUser(id, call);
        return entry(userId);
      },
    };
    options = { ...options, ledger };
    expect(await audit()).toEqual({ verdict: "same", looks: 3 });
  });

  it("holds no record against us that is newer than what it is compared with", async () => {
    stack.emulator.kinde.setProperties(id, { compliance_region: "moon" });
    const { records } = options;
    let reads = 0;
    const read = async (userId: string) => {
      reads += 1;
      if (reads === 2) {
        stack.emulator.kinde.setProperties(id, { compliance_region: "mars" });
        await refreshUser(id, call);
      }
      return records.read(userId);
    };
    options = { ...options, records: { read } };
    expect(await audit()).toEqual({ verdict: "same", looks: 3 });
  });

  it("gives up a user who changes faster than one can look", async () => {
    let serial = 0;
    const { records } = options;
    const read = async (userId: string) => {
      serial += 1;
      stack.emulator.kinde.setProperties(id, { compliance_region: `mars ${serial}` });
      return records.read(userId);
    };
    stack.emulator.kinde.setProperties(id, { compliance_region: "mars 0" });
    options = { ...options, records: { read } };
    expect(await audit()).toMatchObject({ verdict: "unsettled" });
  });
});

describe("the cause of drift", () => {
  it("is a property's change where only properties differ, and what derives from them", async () => {
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    expect(await audit()).toEqual({
      verdict: "drift",
      looks: 2,
      cause: "property_change",
      fields: ["flags.tier", "properties.plan_tier"],
    });
  });

  it("is a missed event where anything differs that Kinde tells of", async () => {
    stack.emulator.kinde.suspendUser(id);
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "missed_event" });
  });

  it("is a deletion where Kinde has the user no more, or has whom we hold for deleted", async () => {
    const kept = await stack.store.records.read(id);
    const ticket = (kept.flags?.ticket ?? 0) + 1;
    await stack.store.records.bury(id, { flags: {}, status: "deleted", fetchedAt: 1, ticket, schema: "s" });
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "deletion", fields: ["user"] });
    stack.emulator.kinde.deleteUser(id, { silent: true });
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
    const { flags, profile } = kept;
    if (flags === undefined || profile === undefined) throw new Error("The user had no record.");
    await stack.store.records.commit({ ...flags, ticket: ticket + 1 }, profile);
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "deletion", fields: ["user"] });
  });

  it("is that we never heard of the user, where there is no record", async () => {
    const [imported] = stack.emulator.kinde.importUsers([{}]);
    expect(await auditUser(options, imported?.id ?? "", call)).toMatchObject({ verdict: "drift", cause: "missing" });
  });

  it("is our backlog where an acknowledged event waits and waits", async () => {
    stack.emulator.kinde.suspendUser(id);
    await owe(60_000);
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "backlog" });
  });

  it("is a lost race where a refresh between both looks committed less than the first had seen", async () => {
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The user has no record.");
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    afterFirstLook(async () => {
      const { ticket } = await stack.store.ledger.begin(id);
      await stack.store.records.commit({ ...flags, ticket }, profile);
    });
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "lost_race" });
  });

  it("is a lost race where the record was fetched after a sign-in that it does not show", async () => {
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The user has no record.");
    stack.emulator.kinde.signIn(id);
    expect(await audit()).toMatchObject({ cause: "missed_event" });
    await stack.store.records.commit({ ...flags, fetchedAt: Date.now() + 120_000 }, profile);
    expect(await audit()).toMatchObject({ cause: "lost_race" });
    // Where sign-ins refresh nobody, their figures are nobody's drift.
    options = { ...options, signIns: false };
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
  });

  it("is the flags' definitions where other ones derived them", async () => {
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The user has no record.");
    await stack.store.records.commit({ ...flags, flags: { vip: true }, schema: "other" }, profile);
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "flag_definitions" });
  });
});
