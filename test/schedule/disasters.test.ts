import { afterAll, beforeAll, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import type { Running } from "../../src/world.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { changes } from "./changes.ts";
import { type DoomedWorkers, disasters, startDoomedWorkers, startStalledChecks } from "./disasters.ts";
import { judge } from "./judge.ts";
import { mishaps } from "./mishaps.ts";
import { type Actions, createScene, play } from "./scene.ts";
import { playAll, scheduleOf, seeds } from "./seeds.ts";
import { createTearing, type Tearing } from "./tearing.ts";
import { weigh } from "./weights.ts";

// Seeds other than those of the ordinary schedules.
const list = seeds(6, 100_001);
const laneCount = Math.min(2, list.length);
const lanes: Lane[] = [];

interface Lane {
  redis: EmbeddedRedis;
  stack: Stack;
  doomed: DoomedWorkers;
  checks: Running;
  tearing: Tearing;
  actions: Actions;
}

const env = {
  KINDLING_RETRY_BASE: "10ms",
  KINDLING_RETRY_MAX: "80ms",
  KINDLING_ABSENCE_SPAN: "100ms",
  KINDLING_BURST_QUIET: "15ms",
  KINDLING_BURST_MAX: "60ms",
  KINDLING_KINDE_TIMEOUT: "400ms",
  KINDLING_KEYS_COOLDOWN: "100ms",
  KINDLING_REDIS_TIMEOUT: "1500ms",
  KINDLING_WATCH_INTERVAL: "200ms",
  KINDLING_SHUTDOWN_TIMEOUT: "2s",
  KINDLING_WRITE_SETTLE: "150ms",
};

const weights = {
  ...weigh(changes, 4),
  ...weigh(mishaps, 1),
  slow: 10,
  killWorkers: 4,
  restartRedis: 3,
  wipeQueue: 4,
};

async function openLane(): Promise<Lane> {
  const redis = await startEmbeddedRedis({ durable: true });
  const tearing = createTearing();
  const emulator = { retryTimeScale: 0.0005, onEvent: tearing.onEvent };
  const stack = await startStack({ env, emulator, redisUrl: redis.url });
  tearing.watch(stack.emulator);
  stack.subscribe();
  const doomed = await startDoomedWorkers(stack);
  const actions = { ...changes, ...mishaps, ...disasters(redis, doomed) };
  return { redis, stack, doomed, checks: startStalledChecks(stack), tearing, actions };
}

async function playSeed({ stack, tearing, actions }: Lane, seed: number): Promise<void> {
  const scene = createScene(stack, tearing.changes);
  await play(scene, scheduleOf(seed, weights, { minLength: 20, maxLength: 60 }), actions);
  await judge(scene, 30_000);
}

beforeAll(async () => {
  for (let lane = 0; lane < laneCount; lane += 1) lanes.push(await openLane());
}, 60_000);

afterAll(async () => {
  for (const { redis, stack, doomed, checks } of lanes) {
    await checks.close();
    await doomed.close();
    await stack.close();
    await redis.close();
  }
}, 60_000);

it(
  `Redis matches Kinde after each of ${list.length} schedules that kill workers, restart Redis and wipe queues`,
  async () => {
    expect(lanes.length).toBeGreaterThan(0);
    await playAll(
      "test/schedule/disasters.test.ts",
      list,
      lanes.map((lane) => (seed) => playSeed(lane, seed)),
    );
  },
  list.length * 15_000 + 30_000,
);
