import type { Fault } from "kinde-emulator";
import { afterEach, describe, expect, it } from "vitest";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

async function open(env: Record<string, string> = {}, options: StackOptions = {}): Promise<void> {
  stack = await startStack({ ...options, env });
  stack.subscribe();
}

const isPresent = (id: string) =>
  until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }), 8_000);

const failures = () => stack.store.ledger.failures();

describe("401", () => {
  it("requests one new token for the fleet, then fails with the settings to check, and requests no more", async () => {
    let offset = 0;
    await open({}, { world: { now: () => Date.now() + offset } });
    await stack.startWorkers();
    const { kinde, faults, stats } = stack.emulator;
    const first = kinde.createUser();
    await isPresent(first.id);
    expect(stats.tokensIssued).toBe(1);
    // A token younger than a minute is not replaced.
    offset = 120_000;
    faults.set({ kind: "error", status: 401 });
    const ids = Array.from({ length: 5 }, () => kinde.createUser().id);
    await until(async () => expect(await failures()).toHaveLength(5));
    expect(stats.tokensIssued).toBe(2);
    for (const { member, failure } of await failures()) {
      expect(ids).toContain(member);
      expect(failure).toMatchObject({ code: "kinde_unauthorized", attempts: 1 });
      expect(failure.message).toContain("KINDE_MANAGEMENT_CLIENT_SECRET");
    }
    faults.clear();
    await stack.store.queues.enqueueReprocess(ids);
    for (const id of ids) await isPresent(id);
    expect(await failures()).toEqual([]);
  });

  it("for a wrong client secret fails at once and is listed", async () => {
    await open({ KINDE_MANAGEMENT_CLIENT_SECRET: "wrong" });
    const { id } = stack.emulator.kinde.createUser();
    await until(async () => expect(await failures()).toHaveLength(1));
    const [found] = await failures();
    expect(found).toMatchObject({ member: id, failure: { code: "kinde_unauthorized", attempts: 1 } });
    expect(JSON.stringify(found)).not.toContain("wrong");
    expect(stack.emulator.stats.tokensIssued).toBe(0);
    expect((await stack.store.ledger.entry(id))?.failure?.code).toBe("kinde_unauthorized");
  });
});

describe("403", () => {
  it("fails only the affected user and names the missing scope", async () => {
    await open();
    const { kinde, faults } = stack.emulator;
    const bad = kinde.importUsers([{}])[0]?.id ?? "";
    faults.set({ kind: "error", status: 403, user: bad, path: "/api/v1/users/*/properties" });
    kinde.updateUser(bad, { firstName: "Ada" });
    const good = kinde.createUser();
    await isPresent(good.id);
    await until(async () => expect(await failures()).toHaveLength(1));
    const [found] = await failures();
    expect(found).toMatchObject({ member: bad, failure: { code: "kinde_forbidden" } });
    expect(found?.failure.message).toContain("read:user_properties");
    expect(await stack.record(bad)).toBeNull();
  });

  it("no longer counts as a failure after the next event refreshes the user", async () => {
    await open();
    const { kinde, faults } = stack.emulator;
    const heal = faults.set({ kind: "error", status: 403 });
    const { id } = kinde.createUser();
    await until(async () => expect(await failures()).toHaveLength(1));
    heal();
    kinde.updateUser(id, { firstName: "Ada" });
    await isPresent(id);
    await until(async () => expect(await failures()).toEqual([]));
    expect((await stack.store.ledger.size()).size).toBe(0);
  });

  it("does not lose an event that arrives during the failing attempt", async () => {
    await open();
    const { kinde, faults, deliveries } = stack.emulator;
    faults.set({ kind: "latency", ms: 400, path: "/api/v1/user", count: 1 });
    faults.set({ kind: "error", status: 403, path: "/api/v1/users/*/properties", count: 1 });
    const { id } = kinde.createUser();
    await until(async () => expect(await stack.store.queues.refresh.getActiveCount()).toBe(1));
    kinde.updateUser(id, { firstName: "Ada" });
    await deliveries.settled();
    await isPresent(id);
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
  });
});

const faultyAnswers: [string, Omit<Fault, "user">][] = [
  ["5xx", { kind: "error", status: 500 } as Fault],
  ["garbage", { kind: "garbage" }],
  ["truncated bodies", { kind: "truncated" }],
  ["hangs", { kind: "hang" }],
];

describe("a failing user", () => {
  it.each(faultyAnswers)("with %s does not delay other users", async (_name, fault) => {
    await open({ KINDLING_REFRESH_CONCURRENCY: "2", KINDLING_KINDE_TIMEOUT: "1s" });
    const { kinde, faults } = stack.emulator;
    const bad = kinde.importUsers([{}])[0]?.id ?? "";
    const heal = faults.set({ ...fault, user: bad } as Fault);
    kinde.updateUser(bad, { firstName: "Ada" });
    await until(() => expect(faults.list()[0]?.struck).toBeGreaterThan(0));
    const started = performance.now();
    const good = Array.from({ length: 40 }, () => kinde.createUser().id);
    for (const id of good) await isPresent(id);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(await stack.store.ledger.entry(bad)).toBeDefined();
    heal();
    kinde.updateUser(bad, { firstName: "Grace" });
    await isPresent(bad);
  });

  it("waiting for a retry is fetched at once when a new event arrives", async () => {
    await open({ KINDLING_RETRY_BASE: "10m", KINDLING_RETRY_MAX: "1h" });
    const { kinde, faults } = stack.emulator;
    const heal = faults.set({ kind: "error", status: 500 });
    const { id } = kinde.createUser();
    await until(async () => expect(await stack.store.queues.refresh.getDelayedCount()).toBe(1));
    heal();
    kinde.updateUser(id, { firstName: "Ada" });
    await isPresent(id);
    await until(async () => expect((await stack.store.ledger.size()).size).toBe(0));
    await until(async () =>
      expect(await stack.store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0),
    );
  });
});
