import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { play, schedules } from "./schedule.ts";
import { expectTruth } from "./truth.ts";

/** How many schedules, and which: `KINDLING_TEST_SEEDS=5000`, `KINDLING_TEST_SEED=<printed seed>` to replay one. */
const seeds = Number(process.env.KINDLING_TEST_SEEDS ?? 200);
const seed = Number(process.env.KINDLING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const lanes = process.env.KINDLING_TEST_SEED === undefined ? 10 : 1;

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({
    emulator: { retryTimeScale: 0.002 },
    env: {
      KINDLING_RETRY_BASE: "10ms",
      KINDLING_RETRY_MAX: "100ms",
      // Out of the way: it would mend what a broken queue had lost.
      KINDLING_WATCH_INTERVAL: "1h",
      KINDLING_BURST_QUIET: "10ms",
      KINDLING_BURST_MAX: "50ms",
      KINDLING_KINDE_TIMEOUT: "2s",
    },
  });
  await stack.startWorkers();
  for (const key of ["admin:access", "read"]) stack.emulator.kinde.createPermission(key);
  stack.subscribe();
});

afterAll(() => stack.close());

describe("whatever the order of things", () => {
  it.concurrent.each(Array.from({ length: lanes }, (_, lane) => lane))(
    `every record equals Kinde's truth in the end (seed ${seed}, lane %i)`,
    async (lane) => {
      await fc.assert(
        fc.asyncProperty(schedules, async (schedule) => {
          const ids = await play(stack, schedule);
          await until(async () => {
            const { store } = stack;
            const entries = await Promise.all(ids.map((id) => store.users.entry(id)));
            expect(entries).toEqual(ids.map(() => undefined));
            await expectTruth(stack, ids);
          }, 20_000);
        }),
        { numRuns: Math.ceil(seeds / lanes), seed: seed + lane, endOnFailure: true },
      );
    },
    3_600_000,
  );

  it("nothing is left to do", async () => {
    await stack.emulator.deliveries.settled();
    await until(async () => {
      const { users, fanouts, queues } = stack.store;
      expect(await users.size()).toMatchObject({ size: 0, failed: 0 });
      expect(await fanouts.size()).toMatchObject({ size: 0, failed: 0 });
      for (const queue of [queues.refresh, queues.bulk, queues.fanout]) {
        expect(await queue.getJobCountByTypes("waiting", "active", "delayed", "prioritized")).toBe(0);
      }
    });
  });
});
