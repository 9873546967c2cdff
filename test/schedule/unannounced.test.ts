import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { expected, held } from "./comparison.ts";
import { outstanding } from "./judge.ts";
import { play } from "./scene.ts";
import { playAll, scheduleOf, seeds } from "./seeds.ts";
import { createSilence, type Silence, silentActions, silentWeights } from "./silence.ts";

// No change in these schedules sends an event that is certain to arrive, so sweeps must find them.
const list = seeds(48, 200_001);
const laneCount = 6;
const lanes: ((seed: number) => Promise<void>)[] = [];
const stacks: Stack[] = [];

const lagMs = 300;
const settleMs = 400;
const env = {
  KINDLING_RETRY_BASE: "10ms",
  KINDLING_RETRY_MAX: "80ms",
  KINDLING_ABSENCE_CHECKS: "2",
  KINDLING_ABSENCE_SPAN: "100ms",
  KINDLING_BURST_QUIET: "15ms",
  KINDLING_BURST_MAX: "60ms",
  KINDLING_KINDE_TIMEOUT: "3s",
  KINDLING_WATCH_INTERVAL: "200ms",
  KINDLING_INDEX_LAG: `${lagMs}ms`,
  KINDLING_WRITE_SETTLE: `${settleMs}ms`,
  KINDLING_SWEEP_PAGE_SIZE: "2",
};

const idle = { users: [], fanouts: [], unconfirmed: [], jobs: { refresh: [], bulk: [], confirm: [], fanout: [] } };

/** Runs one sweep and waits until it has finished. */
async function sweep({ store }: Stack): Promise<void> {
  const before = (await store.sweeps.last())?.mark.number ?? 0;
  await until(async () => {
    // Enqueues again each time, because wiping the store also removes a running sweep.
    await store.queues.enqueueSweep();
    expect((await store.sweeps.last())?.mark.number ?? 0).toBeGreaterThan(before);
  });
}

async function judge(silence: Silence): Promise<void> {
  const { stack } = silence;
  stack.emulator.faults.clear();
  await stack.emulator.deliveries.settled();
  await until(async () => expect(await outstanding(stack)).toEqual(idle));
  // Waits until the search index has caught up and written values no longer override Kinde's.
  await delay(lagMs + settleMs);
  // The first sweep finds changes, the later ones deletions.
  await sweep(stack);
  await sweep(stack);
  await sweep(stack);
  await until(async () => expect((await stack.store.absences.summary()).users).toBe(0));
  await until(async () => expect(await outstanding(stack)).toEqual(idle));
  for (const id of silence.everyone) {
    const truth = stack.emulator.kinde.user(id);
    const found = await held(stack, id);
    // A user created and deleted between sweeps needs no record.
    if (truth === undefined && found.status === undefined) continue;
    expect(found).toEqual(expected(truth));
  }
}

beforeAll(async () => {
  for (let lane = 0; lane < Math.min(laneCount, list.length); lane += 1) {
    const stack = await startStack({ env, emulator: { retryTimeScale: 0.002 } });
    stack.subscribe();
    stacks.push(stack);
    // Most users stay, or nobody's absence would be believed.
    stack.emulator.kinde.importUsers(Array.from({ length: 10 }, () => ({})));
    const refresh = createFlows({
      config: stack.config,
      world: stack.world,
      store: stack.store,
      definitions: await loadDefinitions(stack.config.flagsFile),
    });
    lanes.push(async (seed) => {
      const silence = createSilence(stack, refresh);
      const steps = scheduleOf(seed, silentWeights, { minLength: 8, maxLength: 25 });
      await play(silence.scene, steps, silentActions(silence));
      await judge(silence);
    });
  }
}, 60_000);

afterAll(() => Promise.all(stacks.map((stack) => stack.close())), 60_000);

it(
  `sweeps make Redis match Kinde after each of ${list.length} schedules of changes without webhooks`,
  async () => {
    await playAll("test/schedule/unannounced.test.ts", list, lanes);
  },
  list.length * 4_000 + 30_000,
);
