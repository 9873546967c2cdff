import { defineFlags, organizationProperty, permission, plan } from "kindling";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AuditUserOptions, auditUser } from "../../src/audit/audit-user.ts";
import { findCause } from "../../src/audit/find-cause.ts";
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
  const definitions = await loadDefinitions(config.flagsFile);
  const flows = createFlows({ config, world, store, definitions });
  ({ refreshUser } = flows);
  options = {
    api: flows.kinde,
    definitions,
    records: store.records,
    ledger: store.ledger,
    keep: config.profile,
    signIns: true,
    recheckMs: 30,
    settleTimeoutMs: 60,
  };
  [id = ""] = stack.emulator.kinde.userIds();
  await refreshUser(id, call);
});

afterEach(() => stack.close());

const audit = () => auditUser(options, id, call);

/** Runs a task once, right after the first fetch of the audit. */
function afterFirstFetch(task: () => Promise<unknown>) {
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

/** Adds the user to the ledger, as an event does. */
const addToLedger = (agoMs = 0) =>
  stack.store.redis.zadd(stack.store.keys.ledger, (Date.now() - agoMs) * 1000, id) as Promise<unknown>;

describe("an audit of a record", () => {
  it("finds a correct record the same with one fetch", async () => {
    stack.emulator.stats.reset();
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
    expect(stack.emulator.stats.calls[fetched]).toBe(1);
  });

  it("ignores a change that is refreshed during the audit", async () => {
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    afterFirstFetch(() => refreshUser(id, call));
    expect(await audit()).toEqual({ verdict: "same", looks: 2 });
  });

  it("waits for a pending refresh before it reports drift", async () => {
    options = { ...options, settleTimeoutMs: 10_000 };
    stack.emulator.kinde.suspendUser(id);
    await addToLedger();
    const { entry } = options.ledger;
    let reads = 0;
    const ledger = {
      ...options.ledger,
      // Settled while the audit waits.
      entry: async (userId: string) => {
        reads += 1;
        if (reads === 4) await refreshUser(id, call);
        return entry(userId);
      },
    };
    options = { ...options, ledger };
    expect(await audit()).toEqual({ verdict: "same", looks: 2 });
  });

  it("ignores a change at Kinde between two comparisons", async () => {
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    afterFirstFetch(async () => {
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

  it("waits for the refresh of a late webhook", async () => {
    options = { ...options, settleTimeoutMs: 10_000 };
    stack.emulator.kinde.suspendUser(id);
    const { entry } = options.ledger;
    let reads = 0;
    const ledger = {
      ...options.ledger,
      entry: async (userId: string) => {
        reads += 1;
        // Third read: after the first comparison, the wait and the second comparison.
        if (reads === 3) await addToLedger();
        if (reads === 4) await refreshUser(id, call);
        return entry(userId);
      },
    };
    options = { ...options, ledger };
    expect(await audit()).toEqual({ verdict: "same", looks: 3 });
  });

  it("ignores a record that is newer than the fetched user", async () => {
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

  it("ignores the order of lists and the offset of timestamps", async () => {
    const { kinde } = stack.emulator;
    kinde.createRole("writer", ["posts:write", "posts:publish"]);
    kinde.createRole("publisher", ["posts:delete"]);
    for (const code of ["org_0000000000a", "org_0000000000b"]) {
      kinde.createOrganization({ code });
      kinde.addToOrganization(id, code, { roles: ["writer", "publisher"] });
    }
    kinde.addIdentity(id, { type: "username", identity: "ada" });
    kinde.signIn(id);
    await refreshUser(id, call);
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile?.lastSignedIn == null) throw new Error("The user has no record.");
    const reordered = profile.organizations.map(({ roles, permissions, ...membership }) => ({
      ...membership,
      roles: roles.toReversed(),
      permissions: permissions.toReversed(),
    }));
    expect(reordered.at(-1)?.roles).not.toEqual(profile.organizations.at(-1)?.roles);
    await stack.store.records.commit(flags, {
      ...profile,
      organizations: reordered.toReversed(),
      identities: profile.identities.toReversed(),
      lastSignedIn: new Date(Date.parse(profile.lastSignedIn) + 36_000_000).toISOString().replace("Z", "+10"),
    });
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
    kinde.setRoles(id, "org_0000000000b", ["writer"]);
    expect(await audit()).toMatchObject({ verdict: "drift", fields: ["organizations"] });
  });

  it("gives up on a user that changes faster than it can compare", async () => {
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
  it("is property_change if only properties and the flags derived from them differ", async () => {
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    expect(await audit()).toEqual({
      verdict: "drift",
      looks: 2,
      cause: "property_change",
      fields: ["flags.tier", "properties.plan_tier"],
    });
  });

  it("is property_change if only flags of organization properties differ, and missed_event beside others", () => {
    const definitions = defineFlags({
      seats: organizationProperty.number("seats", { default: 1 }),
      adminHere: permission("admin:access", { in: "current" }),
      team: plan("team", { in: "current" }),
    });
    const { schema } = definitions;
    const flags = { flags: {}, status: "present", fetchedAt: 1, ticket: 1, schema } as const;
    const comparison = {
      differences: [],
      stored: { flags, profile: undefined },
      pendingMs: 0,
      crossed: false,
      ended: 2,
    };
    const causeOf = (stored: object | null, live: object) =>
      findCause({
        previous: comparison,
        current: comparison,
        confirmed: [{ name: "flags.(by organization)", stored, live }],
        definitions,
        keep: new Set(["properties"]),
      });
    const others = { "*": { seats: 1, adminHere: false, team: false } };
    expect(causeOf({ ...others, org_1: { seats: 5 } }, { ...others, org_1: { seats: 6 } })).toBe("property_change");
    expect(causeOf(others, { ...others, org_1: { seats: 6, adminHere: true } })).toBe("missed_event");
    // Kinde sends events of an organization's plans.
    expect(causeOf(others, { ...others, org_1: { team: true } })).toBe("missed_event");
    expect(causeOf(null, others)).toBe("missed_event");
  });

  it("is missed_event if a field differs that Kinde sends events for", async () => {
    stack.emulator.kinde.suspendUser(id);
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "missed_event" });
  });

  it("is deletion if Kinde no longer has the user, or has a user whose record is a tombstone", async () => {
    const kept = await stack.store.records.read(id);
    const { ticket } = await stack.store.ledger.begin(id);
    await stack.store.records.bury(id, { flags: {}, status: "deleted", fetchedAt: 1, ticket, schema: "s" });
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "deletion", fields: ["user"] });
    stack.emulator.kinde.deleteUser(id, { silent: true });
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
    const { flags, profile } = kept;
    if (flags === undefined || profile === undefined) throw new Error("The user had no record.");
    const later = await stack.store.ledger.begin(id);
    await stack.store.records.commit({ ...flags, ticket: later.ticket }, profile);
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "deletion", fields: ["user"] });
  });

  it("is missing if there is no record", async () => {
    const [imported] = stack.emulator.kinde.importUsers([{}]);
    expect(await auditUser(options, imported?.id ?? "", call)).toMatchObject({ verdict: "drift", cause: "missing" });
  });

  it("is backlog if an acknowledged event stays pending", async () => {
    stack.emulator.kinde.suspendUser(id);
    await addToLedger(60_000);
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "backlog" });
  });

  it("is lost_race if a refresh between both comparisons committed an older state than the first saw", async () => {
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The user has no record.");
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    afterFirstFetch(async () => {
      const { ticket } = await stack.store.ledger.begin(id);
      await stack.store.records.commit({ ...flags, ticket }, profile);
    });
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "lost_race" });
  });

  it("is lost_race if the record was fetched after a sign-in that it lacks", async () => {
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The user has no record.");
    stack.emulator.kinde.signIn(id);
    expect(await audit()).toMatchObject({ cause: "missed_event" });
    await stack.store.records.commit({ ...flags, fetchedAt: Date.now() + 120_000 }, profile);
    expect(await audit()).toMatchObject({ cause: "lost_race" });
    // If sign-ins do not refresh users, sign-in counts are not compared.
    options = { ...options, signIns: false };
    expect(await audit()).toEqual({ verdict: "same", looks: 1 });
  });

  it("is flag_definitions if other definitions derived the flags", async () => {
    const { flags, profile } = await stack.store.records.read(id);
    if (flags === undefined || profile === undefined) throw new Error("The user has no record.");
    await stack.store.records.commit({ ...flags, flags: { vip: true }, schema: "other" }, profile);
    expect(await audit()).toMatchObject({ verdict: "drift", cause: "flag_definitions" });
  });
});
