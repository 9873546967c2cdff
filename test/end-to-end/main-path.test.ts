import { createReader } from "kindling";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import definitions from "../../kindling.flags.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

beforeEach(async () => {
  // Long enough for a busy machine to deliver a burst without a pause that would end it.
  stack = await startStack({ env: { KINDLING_BURST_QUIET: "2s", KINDLING_BURST_MAX: "30s" } });
  stack.subscribe();
});

afterEach(() => stack.close());

describe("from an event in Kinde to the answer of a reader", () => {
  it("reflects a sign-up, a role, a suspension and a deletion in one key lookup", async () => {
    const { kinde } = stack.emulator;
    const reader = createReader({ redis: stack.store.redis, definitions, prefix: stack.config.prefix });
    kinde.createRole("admin", ["admin:access"]);
    const organization = kinde.createOrganization();
    const { id } = kinde.createUser({ properties: { onboarded: "true", plan_tier: "pro", compliance_region: "eu" } });

    await until(async () => expect((await reader.get(id)).status).toBe("present"));
    expect(await reader.get(id)).toMatchObject({
      flags: { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: false },
      status: "present",
    });

    kinde.addToOrganization(id, organization.code, { roles: ["admin"] });
    await until(async () => expect((await reader.get(id)).flags.admin).toBe(true));

    kinde.suspendUser(id);
    await until(async () => expect((await reader.get(id)).flags.suspended).toBe(true));

    kinde.deleteUser(id);
    await until(async () => expect((await reader.get(id)).status).toBe("deleted"));
    expect((await reader.get(id)).flags).toEqual(definitions.defaults);
    reader.close();
    expect(await stack.store.redis.exists(stack.store.keys.profile(id))).toBe(0);

    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
    expect(stack.emulator.stats.tokensIssued).toBe(1);
  });

  it("reflects a role's new permission for everyone who holds the role", async () => {
    const { kinde } = stack.emulator;
    kinde.createPermission("admin:access");
    kinde.createRole("editor", []);
    const organization = kinde.createOrganization();
    const ids = Array.from({ length: 5 }, () => kinde.createUser().id);
    for (const id of ids) kinde.addToOrganization(id, organization.code, { roles: ["editor"] });
    await until(async () => {
      for (const id of ids) expect((await stack.record(id))?.flags).toMatchObject({ admin: false });
      expect((await stack.store.ledger.size()).size).toBe(0);
    });

    kinde.updateRole("editor", { permissions: ["admin:access"] });
    await until(async () => {
      for (const id of ids) expect((await stack.record(id))?.flags).toMatchObject({ admin: true });
    });
    kinde.deleteRole("editor");
    await until(async () => {
      for (const id of ids) expect((await stack.record(id))?.flags).toMatchObject({ admin: false });
      expect((await stack.store.fanoutLedger.size()).size).toBe(0);
    });
  });

  it("fetches a user at most twice for a burst of a thousand events", async () => {
    const { kinde, stats } = stack.emulator;
    const { id } = kinde.createUser();
    await until(async () => expect(await stack.record(id)).not.toBeNull());
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
    stack.emulator.faults.set({ kind: "latency", ms: 50 });
    stats.reset();
    for (let n = 0; n < 1000; n += 1) kinde.updateUser(id, { firstName: `Ada ${n}` });
    await stack.emulator.deliveries.settled();
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
    const fetches = stats.calls["GET /api/v1/user"] ?? 0;
    expect(fetches).toBeGreaterThanOrEqual(1);
    expect(fetches).toBeLessThanOrEqual(2);
    const profile = JSON.parse((await stack.store.redis.get(stack.store.keys.profile(id))) ?? "{}");
    expect(profile.firstName).toBe("Ada 999");
  });

  it("does no work for a redelivered event", async () => {
    const { kinde, stats, deliveries } = stack.emulator;
    const { id } = kinde.createUser();
    await until(async () => expect(await stack.record(id)).not.toBeNull());
    const eventId = deliveries.list().find(({ type }) => type === "user.created")?.eventId ?? "";
    stats.reset();
    expect(await deliveries.redeliver(eventId)).toBe(200);
    expect(await stack.store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);
    expect((await stack.store.ledger.size()).size).toBe(0);
    expect(stats.total).toBe(0);
    expect(await stack.store.redis.hget(stack.store.keys.ledgerPart("counts"), "duplicate")).toBe("1");
  });
});
