import { Redis } from "ioredis";
import type { Emulator } from "kinde-emulator";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { envOf } from "../cli/command-line.ts";
import { startEmulator } from "../support/emulator.ts";
import { type Posted, postUpdate } from "../support/post-event.ts";
import { useProcesses } from "../support/processes.ts";
import { testConfig } from "../support/stack.ts";
import { until } from "../support/until.ts";

const processes = useProcesses();
let emulator: Emulator;
let redis: EmbeddedRedis;
let client: Redis;
let env: Record<string, string>;
let server: Awaited<ReturnType<typeof processes.server>>;
let url: string;
let users: string[];

beforeEach(async () => {
  emulator = await startEmulator();
  redis = await startEmbeddedRedis({ durable: true });
  client = new Redis(redis.url, { maxRetriesPerRequest: null });
  client.on("error", () => undefined);
  env = {
    ...envOf(testConfig(emulator, {}, redis.url)),
    KINDLING_REDIS_TIMEOUT: "1s",
    // An event that got 503 can be in the ledger without a job. The ledger check enqueues it.
    KINDLING_WATCH_INTERVAL: "1s",
    KINDLING_LOG_LEVEL: "info",
  };
  server = await processes.server("start", env);
  url = server.webhookUrl;
  users = emulator.kinde.importUsers(Array.from({ length: 60 }, () => ({}))).map(({ id }) => id);
  // Caches the signing keys.
  expect((await post(users[0] ?? "")).status).toBe(200);
});

afterEach(async () => {
  client.disconnect();
  await emulator.close();
  await redis.close();
});

/** A job whose lock was lost with Redis is taken over within 25 s. */
const takeoverMs = 40_000;

const post = (id: string): Promise<Posted> => postUpdate(emulator, url, id);
const hasRecord = async (id: string) => (await client.get(`${env.KINDLING_PREFIX}:flags:{${id}}`)) !== null;

it("reflects every event answered with 200, and answers the others with 503, while Redis is killed and restarted", async () => {
  const answers = new Map<string, Posted>();
  const take = async (ids: readonly string[]) => {
    await Promise.all(ids.map(async (id) => answers.set(id, await post(id))));
  };
  const before = take(users.slice(1, 20));
  // Kills Redis while these events are between ledger and queue.
  await until(async () => expect(await client.zcard(`${env.KINDLING_PREFIX}:ledger`)).toBeGreaterThan(0));
  await redis.kill();
  await before;
  await take(users.slice(20, 40));
  for (const id of users.slice(20, 40)) expect(answers.get(id)?.status).toBe(503);
  await redis.start();
  await until(async () => expect((await post(users[40] ?? "")).status).toBe(200));
  await take(users.slice(41));
  for (const { status, ms } of answers.values()) {
    expect([200, 503]).toContain(status);
    expect(ms).toBeLessThan(3_000);
  }
  const acknowledged = users.slice(1).filter((id) => answers.get(id)?.status === 200);
  expect(acknowledged.length).toBeGreaterThanOrEqual(19);
  await until(async () => {
    for (const id of acknowledged) expect(await hasRecord(id), id).toBe(true);
    expect(await client.zcard(`${env.KINDLING_PREFIX}:ledger`)).toBe(0);
  }, takeoverMs);
  expect(server.stdout()).toContain('"status":503,"code":"store_unavailable"');
  expect(server.stdout()).not.toContain('"code":"unexpected"');
}, 90_000);

it("answers 503 within a second of the Redis timeout while Redis hangs", async () => {
  const pid = Number(/process_id:(\d+)/.exec(await client.info("server"))?.[1]);
  process.kill(pid, "SIGSTOP");
  try {
    const answers = await Promise.all(users.slice(1, 10).map(post));
    for (const { status, ms } of answers) {
      expect(status).toBe(503);
      expect(ms).toBeLessThan(2_000);
    }
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await until(async () => expect((await post(users[1] ?? "")).status).toBe(200));
  await until(async () => expect(await hasRecord(users[1] ?? "")).toBe(true), takeoverMs);
}, 90_000);

it("answers 503 while Redis is full and 200 once it has room", async () => {
  await client.config("SET", "maxmemory", "1mb");
  const answers = await Promise.all(users.slice(1, 10).map(post));
  for (const { status, ms } of answers) {
    expect(status).toBe(503);
    expect(ms).toBeLessThan(2_000);
  }
  await client.config("SET", "maxmemory", "0");
  expect((await post(users[1] ?? "")).status).toBe(200);
  await until(async () => expect(await hasRecord(users[1] ?? "")).toBe(true), takeoverMs);
}, 90_000);
