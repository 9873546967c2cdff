import { Redis } from "ioredis";
import { createReader, defineFlags, property } from "kindling";
import { afterEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { readStatus } from "../../src/status/read-status.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

/** Starts a deployment that holds these many users. */
async function start(held: number, env: Record<string, string> = {}, options: StackOptions = {}): Promise<string[]> {
  stack = await startStack({ env: { KINDLING_RETRY_BASE: "100ms", ...env }, ...options });
  stack.subscribe();
  return importHeld(held);
}

async function importHeld(count: number): Promise<string[]> {
  const users = stack.emulator.kinde.importUsers(
    Array.from({ length: count }, () => ({ properties: { plan_tier: "pro" } })),
  );
  const ids = users.map(({ id }) => id);
  await stack.store.queues.enqueueReprocess(ids);
  for (const id of ids) await until(async () => expect(await statusOf(id)).toBe("present"));
  await until(async () => expect(await jobs()).toBe(0));
  return ids;
}

const statusOf = async (id: string) => (await stack.record(id))?.status;
const statuses = (ids: readonly string[]) => Promise.all(ids.map(statusOf));
const absences = async () => (await stack.store.absences.summary()).users;

async function jobs(): Promise<number> {
  const { refresh, bulk } = stack.store.queues;
  const kinds = ["waiting", "active", "delayed", "prioritized"] as const;
  return (await refresh.getJobCountByTypes(...kinds)) + (await bulk.getJobCountByTypes(...kinds));
}

const calls = () => stack.emulator.stats.total;

function openReader(redis: Redis) {
  const definitions = defineFlags({ tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }) });
  return createReader({ redis, definitions, prefix: stack.config.prefix, timeoutMs: 5_000 });
}

describe("404s of a gateway", () => {
  it.each([
    ["on every route", "/api/v1/**"],
    ["on the route of one user only", "/api/v1/user"],
  ])("%s leave every record, and the users are refreshed afterwards", async (_where, path) => {
    const ids = await start(20);
    for (const id of ids) stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    const heal = stack.emulator.faults.set({ kind: "error", status: 404, path });
    await stack.store.queues.enqueueReprocess(ids, "refresh");
    await until(() => expect(stack.emulator.faults.list()[0]?.struck).toBeGreaterThanOrEqual(40));
    expect(new Set(await statuses(ids))).toEqual(new Set(["present"]));
    heal();
    for (const id of ids) {
      await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "enterprise" } }));
    }
    expect(await absences()).toBe(0);
  });
});

it("404s of a gateway do not lose a user that a sweep has listed", async () => {
  await start(1);
  const [user] = stack.emulator.kinde.importUsers([{ properties: { plan_tier: "pro" } }]);
  const id = user?.id ?? "";
  const heal = stack.emulator.faults.set({ kind: "error", status: 404, path: "/api/v1/user" });
  await stack.store.queues.enqueueSwept({ refresh: [id] });
  await until(() => expect(stack.emulator.faults.list()[0]?.struck).toBeGreaterThanOrEqual(2));
  heal();
  await until(async () => expect(await statusOf(id)).toBe("present"));
});

describe("a copy of Kinde's that does not show a new user yet", () => {
  it("delays the record for a moment, while the user's own claims answer", async () => {
    await start(1);
    const id = "kp_00000000000000000000000000000077";
    const redis = new Redis(stack.config.redisUrl);
    const reader = openReader(redis);
    const claims = { sub: id, iat: Math.floor(Date.now() / 1000), user_properties: { plan_tier: { v: "pro" } } };
    stack.emulator.kinde.emit("user.created", { user: { id, email: null, is_suspended: false, organizations: null } });
    await until(() => expect(stack.emulator.stats.recent.some(({ status }) => status === 404)).toBe(true));
    expect(await reader.get(id, { claims })).toMatchObject({
      status: "missing",
      source: "claims",
      flags: { tier: "pro" },
    });
    expect((await stack.store.ledger.size()).size).toBe(1);
    stack.emulator.kinde.importUsers([{ id }]);
    await until(async () => expect(await statusOf(id)).toBe("present"), 5_000);
    // A refresh leaves the ledger after its commit.
    await until(async () => expect(await stack.store.ledger.size()).toMatchObject({ size: 0, failed: 0 }));
    reader.close();
    redis.disconnect();
  });

  it("is given up after repeated observations, without a tombstone", async () => {
    await start(3, { KINDLING_ABSENCE_SPAN: "300ms" });
    const id = "kp_00000000000000000000000000000078";
    stack.emulator.kinde.emit("user.created", { user: { id, email: null, is_suspended: false, organizations: null } });
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(1));
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
    expect(await stack.record(id)).toBeNull();
    expect(await stack.store.ledger.failures()).toEqual([]);
  });
});

describe("a user that Kinde has never had", () => {
  const nobody = "kp_00000000000000000000000000000079";

  it("costs no second call while it is marked as unknown, and wakes every waiting reader", async () => {
    await start(1);
    const redis = new Redis(stack.config.redisUrl);
    const reader = openReader(redis);
    const started = performance.now();
    expect(await reader.get(nobody, { wait: 30_000 })).toMatchObject({ status: "missing", source: "defaults" });
    const spent = calls();
    for (let read = 0; read < 5; read += 1) {
      expect(await reader.get(nobody, { wait: 30_000 })).toMatchObject({ status: "missing" });
    }
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(calls()).toBe(spent);
    expect(await stack.record(nobody)).toBeNull();
    reader.close();
    redis.disconnect();
  });

  it("is fetched for an event all the same, and then for requests too", async () => {
    await start(1);
    const { refreshRequests } = stack.store.keys;
    await stack.store.redis.zadd(refreshRequests.now, Date.now(), nobody);
    await until(async () => expect(await stack.store.absences.unknown([nobody])).toEqual(new Set([nobody])));
    stack.emulator.kinde.createUser({ id: nobody });
    await until(async () => expect(await statusOf(nobody)).toBe("present"));
    stack.emulator.kinde.setProperties(nobody, { plan_tier: "pro" });
    await stack.store.redis.zadd(refreshRequests.now, Date.now() + 60_000, nobody);
    await until(async () => expect(await stack.record(nobody)).toMatchObject({ flags: { tier: "pro" } }));
  });
});

describe("a user with a record who was deleted without an event", () => {
  const env = { KINDLING_ABSENCE_SPAN: "600ms", KINDLING_WATCH_INTERVAL: "50ms" };

  it("becomes a tombstone only after several observations spaced in time", async () => {
    const [gone = "", ...others] = await start(4, env);
    stack.emulator.kinde.deleteUser(gone, { silent: true });
    await stack.store.queues.enqueueReprocess([gone]);
    await until(async () => expect(await absences()).toBe(1));
    const noticed = performance.now();
    expect(await statusOf(gone)).toBe("present");
    await until(async () => expect(await statusOf(gone)).toBe("deleted"));
    expect(performance.now() - noticed).toBeGreaterThan(550);
    expect(await absences()).toBe(0);
    expect(new Set(await statuses(others))).toEqual(new Set(["present"]));
  });

  it("is not counted by many refreshes at the same moment", async () => {
    const [gone = ""] = await start(3, { KINDLING_ABSENCE_SPAN: "10m" });
    stack.emulator.kinde.deleteUser(gone, { silent: true });
    for (let refresh = 0; refresh < 5; refresh += 1) {
      await stack.store.queues.enqueueReprocess([gone]);
      await until(async () => expect(await jobs()).toBe(0));
    }
    expect(await statusOf(gone)).toBe("present");
  });

  it("is present again with one present answer, and counting starts over", async () => {
    const [back = ""] = await start(3, { KINDLING_ABSENCE_SPAN: "10m" });
    const truth = stack.emulator.kinde.user(back);
    stack.emulator.kinde.deleteUser(back, { silent: true });
    await stack.store.queues.enqueueReprocess([back]);
    await until(async () => expect(await absences()).toBe(1));
    stack.emulator.kinde.importUsers([{ id: back, email: truth?.email ?? null }]);
    await stack.store.queues.enqueueReprocess([back]);
    await until(async () => expect(await absences()).toBe(0));
    expect(await stack.store.absences.noted([back])).toEqual(new Set());
  });

  it("keeps an outstanding event in the ledger until it is certain", async () => {
    const [gone = ""] = await start(3, { ...env, KINDLING_RETRY_MAX: "200ms" });
    const failures: number[] = [];
    stack.emulator.kinde.deleteUser(gone, { silent: true });
    stack.emulator.kinde.emit("user.updated", {
      user: { id: gone, email: null, is_suspended: false, organizations: null },
    });
    await until(async () => expect(await absences()).toBe(1));
    expect((await stack.store.ledger.size()).size).toBe(1);
    await until(async () => {
      failures.push((await stack.store.ledger.failures()).length);
      expect(await statusOf(gone)).toBe("deleted");
    });
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
    expect(new Set(failures)).toEqual(new Set([0]));
  });
});

describe("many users absent at once", () => {
  const env = { KINDLING_ABSENCE_CHECKS: "1", KINDLING_ABSENCE_LIMIT: "5", KINDLING_RETRY_MAX: "200ms" };

  it("are not believed while Kinde finds nobody else, and operators are told", async () => {
    const ids = await start(30, { ...env, KINDLING_ABSENCE_CHECKS: "2", KINDLING_ABSENCE_SPAN: "20ms" });
    for (const id of ids) stack.emulator.kinde.deleteUser(id, { silent: true });
    await stack.store.queues.enqueueReprocess(ids);
    await until(async () => expect((await stack.store.absences.summary()).suspendedSince).not.toBeNull());
    const { warnings, absences: figures } = await readStatus(stack.store, stack.config, Date.now());
    expect(warnings.map(({ code }) => code)).toContain("absences_suspended");
    expect(figures.suspendedSince).not.toBeNull();
    const before = calls();
    await until(() => expect(calls() - before).toBeGreaterThan(100));
    expect(new Set(await statuses(ids))).toEqual(new Set(["present"]));
  });

  it("are believed again once Kinde finds other users", async () => {
    const gone = await start(12, env);
    for (const id of gone) stack.emulator.kinde.deleteUser(id, { silent: true });
    await stack.store.queues.enqueueReprocess(gone.slice(0, 1));
    await until(async () => expect((await stack.store.absences.summary()).suspendedSince).not.toBeNull());
    const present = await importHeld(60);
    // The next probe is due in a few seconds.
    await stack.store.redis.del(stack.store.keys.ledgerPart("absences:probe"));
    await stack.store.queues.enqueueReprocess(gone);
    for (const id of gone) await until(async () => expect(await statusOf(id)).toBe("deleted"), 30_000);
    expect((await stack.store.absences.summary()).suspendedSince).toBeNull();
    expect(new Set(await statuses(present))).toEqual(new Set(["present"]));
  }, 60_000);

  it("are believed without asking if the limit is 0", async () => {
    const gone = await start(3, { ...env, KINDLING_ABSENCE_LIMIT: "0" });
    for (const id of gone) stack.emulator.kinde.deleteUser(id, { silent: true });
    await stack.store.queues.enqueueReprocess(gone);
    for (const id of gone) await until(async () => expect(await statusOf(id)).toBe("deleted"));
  });
});

it("a deletion that Kinde announces becomes a tombstone at once", async () => {
  const [gone = ""] = await start(2);
  stack.emulator.kinde.deleteUser(gone);
  await until(async () => expect(await statusOf(gone)).toBe("deleted"), 5_000);
  expect(await absences()).toBe(0);
});

describe("a write that Kinde answers with 404", () => {
  const writer = async () =>
    createFlows({
      config: stack.config,
      world: stack.world,
      store: stack.store,
      definitions: await loadDefinitions(stack.config.flagsFile),
    });
  const call = { priority: "webhook", signal: new AbortController().signal } as const;

  it("tells the caller that there is no such user, and leaves the record", async () => {
    const [id = ""] = await start(1);
    stack.emulator.kinde.deleteUser(id, { silent: true });
    const { setProperties } = await writer();
    await expect(setProperties(id, { plan_tier: "free" }, call)).rejects.toMatchObject({ code: "user_not_found" });
    expect(await stack.record(id)).toMatchObject({ status: "present", flags: { tier: "pro" } });
  });

  it("when the values are read back leaves the record, and says that they are not visible yet", async () => {
    const [id = ""] = await start(2);
    const heal = stack.emulator.faults.set({ kind: "error", status: 404, path: "/api/v1/user" });
    const { setProperties } = await writer();
    await expect(setProperties(id, { plan_tier: "free" }, call)).rejects.toMatchObject({ code: "write_not_visible" });
    expect(await stack.record(id)).toMatchObject({ status: "present", flags: { tier: "pro" } });
    heal();
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "free" } }));
  });

  it("is not reported as visible while the user is absent", async () => {
    const [id = "", other = ""] = await start(2);
    const { setProperties } = await writer();
    // Accepted by one copy of Kinde's, while another does not have the user.
    const fetch: typeof globalThis.fetch = async (input, init) =>
      init?.method === "PATCH" ? Response.json({ code: "OK", message: "Success" }) : globalThis.fetch(input, init);
    const accepted = createFlows({
      config: stack.config,
      world: { ...stack.world, fetch },
      store: stack.store,
      definitions: await loadDefinitions(stack.config.flagsFile),
    });
    stack.emulator.kinde.deleteUser(id, { silent: true });
    const write = accepted.setProperties(id, { plan_tier: "free" }, call);
    await expect(write).rejects.toMatchObject({ code: "write_not_visible" });
    expect(await stack.record(id)).toMatchObject({ status: "present", flags: { tier: "pro" } });
    expect((await setProperties(other, { plan_tier: "free" }, call)).flags).toMatchObject({ tier: "free" });
  });
});
