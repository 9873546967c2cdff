import { afterEach, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

const backlog = 40;
const concurrency = 20;
/** Twice the backlog, plus the page that was added to the last job below it, and the users who are being refreshed. */
const most = 2 * backlog + 500 + 2 * concurrency;

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
  expect(await store.queues.bulk.getJobCountByTypes("waiting", "active", "delayed")).toBeLessThanOrEqual(most);
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
