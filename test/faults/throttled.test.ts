import { afterEach, beforeEach, expect, it } from "vitest";
import { runWorkers } from "../../src/service/run-workers.ts";
import { openStore, type Store } from "../../src/store.ts";
import type { Running } from "../../src/world.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;
let second: { store: Store; workers: Running };

beforeEach(async () => {
  stack = await startStack({ env: { KINDLING_REFRESH_CONCURRENCY: "3" } });
  stack.subscribe();
  // To Redis and Kinde, this is a second process of the fleet.
  const store = await openStore(stack.config, stack.world, stack.log);
  second = { store, workers: await runWorkers(stack.config, stack.world, stack.log, store) };
});

afterEach(async () => {
  await second.workers.close();
  await second.store.close();
  await stack.close();
});

it("pauses the whole fleet until RateLimit-Reset once three users get a 429, without consuming an attempt", async () => {
  const { emulator, store } = stack;
  const warm = emulator.kinde.createUser();
  await until(async () => expect(await stack.record(warm.id)).not.toBeNull());
  emulator.stats.reset();
  emulator.faults.set({ kind: "too_many_requests", resetSeconds: 2, forMs: 1_500 });
  const ids = Array.from({ length: 20 }, () => emulator.kinde.createUser().id);
  await until(async () => expect((await store.budget.state()).pausedMs).toBeGreaterThan(0));
  const paused = Date.now();
  const { pausedMs } = await store.budget.state();
  expect(pausedMs).toBeGreaterThan(1_000);

  const counts = new Set<number>();
  await until(async () => {
    const jobs = await store.queues.refresh.getJobs(["waiting", "active", "delayed", "prioritized"]);
    for (const { attemptsMade } of jobs) counts.add(attemptsMade);
    expect((await store.budget.state()).pausedMs).toBe(0);
  });
  for (const id of ids) await until(async () => expect(await stack.record(id)).not.toBeNull());
  await until(async () => expect((await store.ledger.size()).size).toBe(0));
  expect([...counts]).toEqual([0]);

  const calls = emulator.stats.recent.filter(({ route }) => route.startsWith("/api/"));
  // Excludes calls that started before the pause and reached Kinde shortly after.
  const during = calls.filter(({ at }) => at > paused + 200 && at < paused + pausedMs - 20);
  expect(during).toEqual([]);
  expect(calls.length).toBeGreaterThan(40);
  expect(await store.ledger.failures()).toEqual([]);
  // The calls that were under way when the third user was refused: two for each of three users in two processes.
  expect(emulator.stats.tooMany).toBeLessThanOrEqual(16);
});

it("obeys a limit on one user without slowing the others down, and lists the user", async () => {
  const { emulator, store } = stack;
  const limited = emulator.kinde.createUser();
  const others = Array.from({ length: 30 }, () => emulator.kinde.createUser());
  for (const { id } of [limited, ...others]) await until(async () => expect(await stack.record(id)).not.toBeNull());
  const heal = emulator.faults.set({ kind: "too_many_requests", user: limited.id, resetSeconds: 1 });
  let paused = 0;
  const change = (id: string, firstName: string) => emulator.kinde.updateUser(id, { firstName });
  const profileOf = async (id: string) => JSON.parse((await store.redis.get(store.keys.profile(id))) ?? "{}");

  for (let round = 1; round <= 4; round += 1) {
    change(limited.id, `R${round}`);
    for (const { id } of others) change(id, `R${round}`);
    for (const { id } of others) {
      await until(async () => expect(await profileOf(id)).toMatchObject({ firstName: `R${round}` }));
      paused = Math.max(paused, (await store.budget.state()).pausedMs);
    }
  }
  expect(paused).toBe(0);
  const failed = await until(async () => {
    const failures = await store.ledger.failures();
    expect(failures).toHaveLength(1);
    return failures;
  }, 30_000);
  expect(failed).toMatchObject([{ member: limited.id, failure: { code: "throttled", final: false } }]);
  // One process asks at a time, and no earlier than Kinde allows: a refresh makes two calls at once.
  const asked = emulator.stats.recent.filter(({ status }) => status === 429).map(({ at }) => at);
  for (const at of asked)
    expect(asked.filter((other) => other >= at && other < at + 900).length).toBeLessThanOrEqual(2);

  heal();
  await until(async () => expect(await profileOf(limited.id)).toMatchObject({ firstName: "R4" }), 30_000);
  await until(async () => expect(await store.ledger.size()).toMatchObject({ size: 0, failed: 0 }));
}, 90_000);
