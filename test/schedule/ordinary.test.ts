import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { changes } from "./changes.ts";
import { createCrossing } from "./crossing.ts";
import { judge } from "./judge.ts";
import { mishaps } from "./mishaps.ts";
import { createScene, play } from "./scene.ts";
import { playAll, scheduleOf, seeds } from "./seeds.ts";
import { createTearing } from "./tearing.ts";
import { weigh } from "./weights.ts";

// Runs several lanes at once, because a schedule mostly waits. Each has its own stack, so that seeds do not interfere.
const laneCount = 4;
const list = seeds(200);
const lanes: ((seed: number) => Promise<void>)[] = [];
const stacks: Stack[] = [];

/** Short times, so that a schedule takes less than a second, and no ledger check: the queue alone must suffice. */
const env = {
  KINDLING_RETRY_BASE: "10ms",
  KINDLING_RETRY_MAX: "80ms",
  KINDLING_ABSENCE_SPAN: "100ms",
  KINDLING_BURST_QUIET: "15ms",
  KINDLING_BURST_MAX: "60ms",
  KINDLING_KINDE_TIMEOUT: "400ms",
  KINDLING_KEYS_COOLDOWN: "100ms",
  KINDLING_WATCH_INTERVAL: "1h",
  KINDLING_SHUTDOWN_TIMEOUT: "2s",
  KINDLING_WRITE_SETTLE: "150ms",
};

const weights = {
  ...weigh(changes, 3),
  ...weigh(mishaps, 1),
  rolePermissions: 6,
  slow: 8,
  cross: 8,
};

beforeAll(async () => {
  for (let lane = 0; lane < Math.min(laneCount, list.length); lane += 1) {
    const tearing = createTearing();
    const stack = await startStack({ env, emulator: { retryTimeScale: 0.002, onEvent: tearing.onEvent } });
    tearing.watch(stack.emulator);
    stack.subscribe();
    await stack.startWorkers();
    stacks.push(stack);
    lanes.push(async (seed) => {
      const scene = createScene(stack, tearing.changes);
      const steps = scheduleOf(seed, weights, { minLength: 10, maxLength: 40 });
      const { cross, judge: judgeCrossing } = await createCrossing(scene);
      await play(scene, steps, { ...changes, ...mishaps, cross });
      await judge(scene, 15_000);
      await judgeCrossing();
    });
  }
}, 60_000);

afterAll(() => Promise.all(stacks.map((stack) => stack.close())), 60_000);

it(
  `Redis matches Kinde after each of ${list.length} schedules of changes, late deliveries and failing fetches`,
  async () => {
    expect(lanes.length).toBeGreaterThan(0);
    await playAll("test/schedule/ordinary.test.ts", list, lanes);
  },
  list.length * 3_000 + 30_000,
);
