import { afterEach, beforeEach, expect, it } from "vitest";
import { mostDemands } from "../../src/refresh/demands.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;
let id: string;

beforeEach(async () => {
  stack = await startStack({ workers: false });
  id = stack.emulator.kinde.importUsers([{}])[0]?.id ?? "";
});

afterEach(() => stack.close());

const demandsKey = () => `${stack.store.keys.queues}:demands`;
const idle = () =>
  until(async () =>
    expect(await stack.store.queues.requests.getJobCountByTypes("waiting", "active", "delayed")).toBe(0),
  );

/** Stores a record that was fetched at this time. */
async function hold(fetchedAt: number) {
  const profile = { id, isSuspended: false, properties: {}, organizations: [], identities: [] };
  const billing = { customerId: null, agreements: [] };
  const record = { flags: { tier: "old" }, status: "present", fetchedAt, ticket: 1, schema: "s" } as const;
  await stack.store.records.commit(record, { ...profile, billing } as never);
}

it("a strict refresh request that joins a laxer one gets a fetch that is recent enough", async () => {
  const { queues } = stack.store;
  const now = Date.now();
  await hold(now - 10_000);
  await queues.enqueueRefreshRequests([{ userId: id, freshSince: now - 60_000 }], "now");
  await queues.enqueueRefreshRequests([{ userId: id, freshSince: now - 1_000 }], "now");
  expect(await queues.requests.getWaitingCount()).toBe(1);
  await stack.startWorkers();
  await until(async () => expect(Number((await stack.record(id))?.fetchedAt)).toBeGreaterThan(now - 1_000));
  await idle();
  expect(await stack.store.redis.exists(demandsKey())).toBe(0);
});

it("refresh requests that a record satisfies cost no fetch", async () => {
  const { queues, redis } = stack.store;
  const now = Date.now();
  await hold(now - 10_000);
  await queues.enqueueRefreshRequests([{ userId: id, freshSince: now - 60_000 }], "now");
  await queues.enqueueRefreshRequests([{ userId: id, freshSince: now - 20_000 }], "now");
  await stack.startWorkers();
  await idle();
  expect((await stack.record(id))?.fetchedAt).toBe(now - 10_000);
  await until(async () => expect(await redis.exists(demandsKey())).toBe(0));
});

it("a record stamped by a clock that was ahead does not satisfy a refresh request", async () => {
  const now = Date.now();
  await hold(now + 3_600_000);
  await stack.store.queues.enqueueRefreshRequests([{ userId: id, freshSince: now - 60_000 }], "now");
  await stack.startWorkers();
  await until(async () => expect(Number((await stack.record(id))?.fetchedAt)).toBeLessThan(now + 60_000));
});

it("requests that no fetch satisfies, such as those for unknown users, do not pile up", async () => {
  const { queues, redis } = stack.store;
  const left = Array.from({ length: mostDemands }, (_, n) => [n, testUser(n)]);
  await redis.zadd(demandsKey(), ...left.flat());
  await queues.demands.raise([{ userId: id, freshSince: mostDemands }]);
  expect(await redis.zcard(demandsKey())).toBe(mostDemands);
  expect(await queues.demands.strictest(id)).toBe(mostDemands);
});

it("a refresh request with an infinite time is only a request", async () => {
  const freshSince = Number.NaN;
  await stack.store.queues.enqueueRefreshRequests([{ userId: id, freshSince }], "now");
  expect(await stack.store.redis.exists(demandsKey())).toBe(0);
  expect(await stack.store.queues.requests.getWaitingCount()).toBe(1);
});

it("a record is stamped by Redis' clock, whatever the worker's clock says", async () => {
  const ahead = await startStack({ world: { now: () => Date.now() + 3_600_000 }, workers: false });
  try {
    const [user] = ahead.emulator.kinde.importUsers([{}]);
    const userId = user?.id ?? "";
    await ahead.startWorkers();
    await ahead.store.queues.enqueueReprocess([userId], "refresh");
    await until(async () => expect(await ahead.record(userId)).not.toBeNull());
    expect(Number((await ahead.record(userId))?.fetchedAt)).toBeLessThanOrEqual(Date.now() + 1_000);
  } finally {
    await ahead.close();
  }
});
