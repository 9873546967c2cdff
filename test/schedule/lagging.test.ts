import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { changes } from "./changes.ts";
import { judge } from "./judge.ts";
import { createLagging } from "./lagging.ts";
import { mishaps } from "./mishaps.ts";
import { createScene, play, type Scene, type Step } from "./scene.ts";
import { playAll, scheduleOf, seeds } from "./seeds.ts";
import { weigh } from "./weights.ts";

// Seeds other than those of the ordinary schedules.
const list = seeds(40, 300_001);
const lanes: ((seed: number) => Promise<void>)[] = [];
const stacks: Stack[] = [];

/** The copies of Kinde's lag less than the settle time. */
const lagMs = 250;
const env = {
  KINDLING_RETRY_BASE: "10ms",
  KINDLING_RETRY_MAX: "80ms",
  KINDLING_BURST_QUIET: "15ms",
  KINDLING_BURST_MAX: "60ms",
  KINDLING_KINDE_TIMEOUT: "400ms",
  KINDLING_WATCH_INTERVAL: "1h",
  KINDLING_SHUTDOWN_TIMEOUT: "2s",
  KINDLING_WRITE_SETTLE: "400ms",
};

// A sign-in is not confirmed: a copy that lags hides its time and count until the next refresh.
const { signIn: _signIn, ...confirmed } = changes;
const weights = { ...weigh(confirmed, 3), late: 1, twice: 1, slow: 3, lag: 10 };

beforeAll(async () => {
  for (let lane = 0; lane < Math.min(4, list.length); lane += 1) {
    const lagging = createLagging(lagMs);
    const stack = await startStack({ env, emulator: { retryTimeScale: 0.002 }, world: { fetch: lagging.fetch } });
    stack.subscribe();
    stacks.push(stack);
    const lag = (_scene: Scene, { choice }: Step) => lagging.set(choice % 4 !== 0);
    lanes.push(async (seed) => {
      const scene = createScene(stack, new Map());
      await play(scene, scheduleOf(seed, weights, { minLength: 10, maxLength: 30 }), { ...confirmed, ...mishaps, lag });
      await judge(scene, 15_000);
    });
  }
}, 60_000);

afterAll(() => Promise.all(stacks.map((stack) => stack.close())), 60_000);

it(
  `Redis matches Kinde after each of ${list.length} schedules in which Kinde answers from copies that lag`,
  async () => {
    expect(lanes.length).toBeGreaterThan(0);
    await playAll("test/schedule/lagging.test.ts", list, lanes);
  },
  list.length * 3_000 + 30_000,
);
