import { Redis } from "ioredis";
import { afterEach, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import { createFanoutWorker } from "../../workers/fanout-worker.ts";
import { createBulkWorker } from "../../workers/refresh-worker.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

const backlog = 40;
const concurrency = 20;
/** Twice the backlog, plus the page that was added to the last job below it, and the users who are being refreshed. */
const most = 2 * backlog + 500 + 2 * concurrency;

/** What a worker of its own needs beside its queue. */
function workerDeps({ config, store }: Stack) {
  const connection = new Redis(config.redisUrl, { maxRetriesPerRequest: null });
  const { signal } = new AbortController();
  const log = createLog("silent");
  return { ...config, connection, prefix: store.keys.queues, now: Date.now, log, closing: signal, signal };
}

it("a fan-out puts its users into Redis page by page, as there is room, and loses nobody", async () => {
  const env = {
    KINDLING_SWEEP_BACKLOG: String(backlog),
    KINDLING_BULK_CONCURRENCY: String(concurrency),
    KINDLING_WRITE_SETTLE: "1ms",
  };
  stack = await startStack({ env });
  const { emulator, store } = stack;
  const { code } = emulator.kinde.createOrganization();
  const members = emulator.kinde.importUsers(Array.from({ length: 800 }, () => ({ organizations: [code] })));
  stack.subscribe();
  const hold = emulator.faults.set({ kind: "hang", path: "/api/v1/user" });
  emulator.kinde.updateOrganization(code, { name: "Renamed" });
  // Nobody can be refreshed, so the first page fills all room there is.
  await until(async () => expect((await store.queues.fanout.getJobCounts("delayed")).delayed).toBe(1));
  const { size } = await store.ledger.size();
  expect(size).toBeGreaterThanOrEqual(2 * backlog);
  expect(size).toBeLessThanOrEqual(most);
  expect(await store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBeLessThanOrEqual(
    most,
  );
  expect((await store.fanoutLedger.size()).size).toBe(1);
  // A lost job is replaced, and starts again.
  await store.queues.fanout.obliterate({ force: true });
  await store.queues.enqueueFanouts([`organization:${code}`]);
  hold();
  emulator.stats.reset();
  let largest = 0;
  await until(async () => {
    largest = Math.max(largest, (await store.ledger.size()).size);
    // Does not wait for the pauses of five seconds.
    for (const job of await store.queues.fanout.getDelayed()) await job.promote().catch(() => undefined);
    expect((await store.fanoutLedger.size()).size + (await store.ledger.size()).size).toBe(0);
  }, 60_000);
  // Those refreshed by the time the fan-out reaches their records are not refreshed again.
  expect(emulator.stats.calls["GET /api/v1/user"] ?? 0).toBeLessThan(2 * members.length);
  expect(largest).toBeLessThanOrEqual(most);
  const tickets = await store.records.tickets(members.map(({ id }) => id));
  expect(tickets.filter((ticket) => ticket === 0)).toEqual([]);
}, 90_000);

it("users that a sweep finds do not wait for a fan-out, and take one of its users along each", async () => {
  stack = await startStack({ workers: false, env: { KINDLING_SWEEP_BACKLOG: "1" } });
  const { store } = stack;
  const { queues } = store;
  await queues.enqueueBulk(["f1", "f2", "f3", "f4", "f5"], 1);
  await queues.enqueueReprocess(["r1"]);
  await queues.enqueueSwept({ refresh: ["s1", "r1"], changed: ["s2"] });
  const order: string[] = [];
  const deps = workerDeps(stack);
  const worker = createBulkWorker(
    {
      ...store,
      concurrency: { refresh: 1, bulk: 1, requests: 1 },
      refreshUser: async (userId) => {
        order.push(userId);
        return { outcome: "committed" } as never;
      },
    },
    deps,
  );
  await until(() => expect(order).toHaveLength(9));
  await worker.close();
  deps.connection.disconnect();
  expect(order).toEqual(["s1", "f1", "r1", "f2", "s2", "f3", "f4", "f5", "r1"]);
});

it("events about the plans of many organizations delay no other fan-out", async () => {
  stack = await startStack({ workers: false });
  const { store } = stack;
  await store.queues.enqueueFanouts(["plans:org_1", "plans:org_2", "role:1", "organization:org_3"]);
  const order: string[] = [];
  const deps = workerDeps(stack);
  const begin = async (subject: string) => {
    order.push(subject);
    return store.fanoutLedger.begin(subject);
  };
  const worker = createFanoutWorker(
    {
      ...store,
      fanoutLedger: { ...store.fanoutLedger, begin },
      fanOut: () => Promise.reject(new Error("Nothing is outstanding.")),
      acknowledge: async () => {},
      settleMs: 0,
      backlog,
    },
    deps,
  );
  await until(() => expect(order).toHaveLength(4));
  await worker.close();
  deps.connection.disconnect();
  expect(order).toEqual(["role:1", "organization:org_3", "plans:org_1", "plans:org_2"]);
});
