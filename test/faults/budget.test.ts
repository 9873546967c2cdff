import { afterEach, beforeEach, expect, it } from "vitest";
import { envOf } from "../cli/command-line.ts";
import { useProcesses } from "../support/processes.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const processes = useProcesses();
const atOnce = 4;
const perMinute = 600;
let stack: Stack;

beforeEach(async () => {
  stack = await startStack({
    workers: false,
    env: { KINDLING_CALLS_AT_ONCE: String(atOnce), KINDLING_CALLS_PER_MINUTE: String(perMinute) },
  });
  stack.subscribe();
});

afterEach(() => stack.close());

it("two processes share the concurrency and per-minute limits, and bulk work leaves room for webhooks", async () => {
  const { emulator, store, config } = stack;
  await Promise.all([processes.worker(envOf(config)), processes.worker(envOf(config))]);
  emulator.faults.set({ kind: "latency", ms: 20 });
  emulator.stats.reset();
  const started = performance.now();
  const imported = emulator.kinde.importUsers(Array.from({ length: 60 }, () => ({}))).map(({ id }) => id);
  await store.queues.enqueueReprocess(imported);
  await until(() => expect(emulator.stats.total).toBeGreaterThan(20));

  const { id } = emulator.kinde.createUser();
  await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }), 5_000);
  const bulkLeft = await store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed");
  expect(bulkLeft).toBeGreaterThan(10);

  await until(async () => {
    expect(await store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBe(0);
  }, 30_000);
  const { total, maxConcurrent, tooMany } = emulator.stats;
  expect(total).toBeGreaterThanOrEqual(122);
  expect(maxConcurrent).toBeLessThanOrEqual(atOnce);
  expect(tooMany).toBe(0);
  // A burst worth ten seconds, then at most the rate.
  const minutes = (performance.now() - started) / 60_000;
  expect(total).toBeLessThanOrEqual(perMinute / 6 + perMinute * minutes + 1);
}, 60_000);
