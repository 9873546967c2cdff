import { Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createTickSchedule, type TickSchedule } from "../../src/redis/tick-schedule.ts";
import { useRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

const context = useRedis();
let connection: Redis;
let queue: Queue;
let worker: Worker;
let ticks: number;
let warnings: [process: string, fleetMs: number][];

beforeEach(() => {
  connection = context.redis.duplicate({ maxRetriesPerRequest: null });
  const options = { connection, prefix: context.keys.queues };
  ticks = 0;
  warnings = [];
  queue = new Queue("ticking", options);
  worker = new Worker(
    "ticking",
    async () => {
      ticks += 1;
    },
    options,
  );
});

afterEach(async () => {
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  connection.disconnect();
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

const startProcess = (name: string, intervalMs: number): TickSchedule =>
  createTickSchedule({ ...context, queue, intervalMs, onOther: (fleetMs) => warnings.push([name, fleetMs]) });
/** Waits until every tick that is due has ended. */
const nothingDue = () =>
  until(async () => {
    const next = await queue.getDelayed();
    expect(next.map(({ timestamp, delay }) => timestamp + delay > Date.now())).toEqual([true]);
    expect(await queue.getJobCountByTypes("waiting", "prioritized", "active")).toBe(0);
  });
const scheduled = async () => (await queue.getJobScheduler("tick"))?.every;

it("adopts the interval of the process that started last, without further ticks", async () => {
  const first = startProcess("first", 600_000);
  expect(await first.keep()).toBe(600_000);
  const second = startProcess("second", 900_000);
  expect(await second.keep()).toBe(900_000);
  await until(() => expect(ticks).toBeGreaterThan(0));
  // Both tick at once when they start. After that, the checks of neither cause one.
  await nothingDue();
  const started = ticks;
  expect(started).toBeLessThanOrEqual(2);
  for (let check = 0; check < 20; check += 1) {
    expect(await first.keep()).toBe(900_000);
    expect(await second.keep()).toBe(900_000);
  }
  await nothingDue();
  expect(ticks).toBe(started);
  expect(await scheduled()).toBe(900_000);
  expect(warnings).toEqual([["first", 900_000]]);
});

it("stops the ticks of all if the process that started last has none", async () => {
  const first = startProcess("first", 600_000);
  await first.keep();
  const second = startProcess("second", 0);
  expect([await second.keep(), await first.keep(), await second.keep()]).toEqual([0, 0, 0]);
  expect(await scheduled()).toBeUndefined();
});

it("is put into force again after a wipe", async () => {
  const schedule = startProcess("only", 600_000);
  await schedule.keep();
  // Or a tick that runs meanwhile restores the schedule.
  await worker.close();
  await context.redis.del(await context.redis.keys(`*${context.keys.prefix}*`));
  expect(await scheduled()).toBeUndefined();
  expect(await schedule.keep()).toBe(600_000);
  expect(await scheduled()).toBe(600_000);
  expect(warnings).toEqual([]);
});
