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

it("pauses the whole fleet until RateLimit-Reset after a 429, without consuming an attempt", async () => {
  const { emulator, store } = stack;
  const warm = emulator.kinde.createUser();
  await until(async () => expect(await stack.record(warm.id)).not.toBeNull());
  emulator.stats.reset();
  emulator.faults.set({ kind: "too_many_requests", resetSeconds: 2, count: 1 });
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
});
