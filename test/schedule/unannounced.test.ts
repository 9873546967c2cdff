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

// Nothing of what happens here is told by a webhook that arrives for certain: sweeps have to find it.
const list = seeds(48, 200_001);
const laneCount = 6;
const lanes: ((seed: number) => Promise<void>)[] = [];
const stacks: Stack[] = [];

const lagMs = 300;
const settleMs = 400;
const env = {
  KINDLING_RETRY_BASE: "10ms",
  KINDLING_RETRY_MAX: "80ms",
  KINDLING_BURST_QUIET: "15ms",
  KINDLING_BURST_MAX: "60ms",
  KINDLING_KINDE_TIMEOUT: "3s",
  KINDLING_WATCH_INTERVAL: "200ms",
  KINDLING_INDEX_LAG: `${lagMs}ms`,
  KINDLING_WRITE_SETTLE: `${settleMs}ms`,
  KINDLING_SWEEP_PAGE_SIZE: "2",
};

const idle = { users: [], fanouts: [], jobs: { refresh: [], bulk: [], fanout: [] } };

/** Sweeps once, and waits until all it asked for is done. */
async function sweep({ store }: Stack): Promise<void> {
  const before = (await store.sweeps.last())?.mark.number ?? 0;
  await until(async () => {
    // A sweep that was under way in a store that is wiped is lost with it.
    await store.queues.enqueueSweep();
    expect((await store.sweeps.last())?.mark.number ?? 0).toBeGreaterThan(before);
  });
}

async function judge(silence: Silence): Promise<void> {
  const { stack } = silence;
  stack.emulator.faults.clear();
  await stack.emulator.deliveries.settled();
  await until(async () => expect(await outstanding(stack)).toEqual(idle));
  // The time for which Kinde's index may lag, and written values stand before Kinde's.
  await delay(lagMs + settleMs);
  // One sweep finds every change, a second one who is gone.
  await sweep(stack);
  await sweep(stack);
  await sweep(stack);
  await until(async () => expect(await outstanding(stack)).toEqual(idle));
  for (const id of silence.everyone) {
    const truth = stack.emulator.kinde.user(id);
    const found = await held(stack, id);
    // Who came and went unseen has no record, and needs none.
    if (truth === undefined && found.status === undefined) continue;
    expect(found).toEqual(expected(truth));
  }
}

beforeAll(async () => {
  for (let lane = 0; lane < Math.min(laneCount, list.length); lane += 1) {
    const stack = await startStack({ env, emulator: { retryTimeScale: 0.002 } });
    stack.subscribe();
    stacks.push(stack);
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
  `after any of ${list.length} schedules of changes that no webhook tells of, sweeps make every record Kinde's truth`,
  async () => {
    await playAll("test/schedule/unannounced.test.ts", list, lanes);
  },
  list.length * 4_000 + 30_000,
);
