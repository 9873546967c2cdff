import { connect } from "node:net";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling, pressCtrlC, type Spawned, spawnKindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;
const spawned: Spawned[] = [];

beforeEach(async () => {
  stack = await startStack({ workers: false });
  env = envOf(stack.config);
});

afterEach(async () => {
  for (const { child } of spawned) child.kill("SIGKILL");
  await Promise.all(spawned.splice(0).map(({ ended }) => ended));
  await stack.close();
});

function run(command: string, more: Record<string, string> = {}): Spawned {
  const process = spawnKindling([command], { ...env, ...more });
  spawned.push(process);
  return process;
}

const portOf = async (process: Spawned) => Number((await process.says(/"port":(\d+),"msg":"server listens"/))[1]);
const ready = (process: Spawned) => process.says(/"msg":"workers started"/);

describe("kindling start", () => {
  it("receives a webhook, refreshes the user and exits with 0 on SIGTERM", async () => {
    const process = run("start");
    const port = await portOf(process);
    await ready(process);
    stack.emulator.webhooks.register({ url: `http://127.0.0.1:${port}/webhooks/kinde` });
    const { id } = stack.emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
    process.child.kill("SIGTERM");
    const { code, stdout, stderr } = await process.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/"msg":"stopped"\}\n/);
  });

  it("finishes a running refresh before it exits", async () => {
    const process = run("start");
    await ready(process);
    const { id } = stack.emulator.kinde.createUser();
    stack.emulator.faults.set({ kind: "latency", ms: 800, path: "/api/v1/user" });
    await kindling(["reprocess", id], env);
    await until(async () => expect(await stack.store.queues.refresh.getActiveCount()).toBe(1));
    process.child.kill("SIGTERM");
    expect((await process.ended).code).toBe(0);
    expect(await stack.record(id)).toMatchObject({ status: "present" });
  });

  it("exits with 0 within the shutdown timeout while Kinde hangs, and loses no user", async () => {
    const process = run("worker", { KINDLING_SHUTDOWN_TIMEOUT: "1s" });
    await ready(process);
    const { id } = stack.emulator.kinde.createUser();
    const heal = stack.emulator.faults.set({ kind: "hang" });
    await kindling(["reprocess", id], env);
    await until(async () => expect(await stack.store.queues.refresh.getActiveCount()).toBe(1));
    const asked = performance.now();
    process.child.kill("SIGTERM");
    expect((await process.ended).code).toBe(0);
    expect(performance.now() - asked).toBeLessThan(4_000);
    heal();
    await stack.startWorkers();
    await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }));
  });

  it("exits immediately with 143 on a second signal", async () => {
    const process = run("worker", { KINDLING_SHUTDOWN_TIMEOUT: "30s" });
    await ready(process);
    const { id } = stack.emulator.kinde.createUser();
    stack.emulator.faults.set({ kind: "hang" });
    await kindling(["reprocess", id], env);
    await until(async () => expect(await stack.store.queues.refresh.getActiveCount()).toBe(1));
    process.child.kill("SIGTERM");
    await process.says(/"msg":"stopping"/);
    process.child.kill("SIGTERM");
    expect((await process.ended).code).toBe(143);
  });

  it("exits with 0 within the shutdown timeout if Redis is gone", async () => {
    const redis = await startEmbeddedRedis();
    try {
      const process = run("start", { REDIS_URL: redis.url, KINDLING_SHUTDOWN_TIMEOUT: "1s" });
      await portOf(process);
      await ready(process);
      await redis.kill();
      await process.says(/ECONNREFUSED/);
      const asked = performance.now();
      process.child.kill("SIGTERM");
      expect((await process.ended).code).toBe(0);
      expect(performance.now() - asked).toBeLessThan(4_000);
    } finally {
      await redis.close();
    }
  });
});

describe("kindling server", () => {
  it("refuses new connections, answers the open request and exits with 0", async () => {
    const process = run("server");
    const port = await portOf(process);
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk.toString();
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    // Half a request keeps the connection busy.
    socket.write("POST /webhooks/kinde HTTP/1.1\r\nHost: kindling\r\nContent-Length: 4\r\n\r\nab");
    await until(() => expect(socket.bytesWritten).toBeGreaterThan(0));
    // Once another connection is answered, the server has seen the first one.
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    process.child.kill("SIGTERM");
    await process.says(/"msg":"stopping"/);
    await until(() => expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow());
    socket.write("cd");
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect((await process.ended).code).toBe(0);
  });

  it("does not need a flags file", async () => {
    const process = run("server", { KINDLING_FLAGS: "none.flags.ts" });
    const port = await portOf(process);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  });
});

describe("starting", () => {
  it.each([
    ["worker", 1],
    ["start", 1],
    ["server", 0],
  ])("%s limits the growth of the heap %i times", async (command, times) => {
    let limited = 0;
    const interrupt = new AbortController();
    pressCtrlC(interrupt);
    const limitHeapGrowth = () => {
      limited += 1;
    };
    const { code } = await kindling(
      [command],
      { ...env, KINDLING_LOG_LEVEL: "silent" },
      { interrupt, limitHeapGrowth },
    );
    expect({ code, limited }).toEqual({ code: 0, limited: times });
  });

  it.each(["worker", "start"])("%s exits with 2 if the flags file is missing", async (command) => {
    const { code, stderr } = await run(command, { KINDLING_FLAGS: "none.flags.ts" }).ended;
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: KINDLING_FLAGS: there is no file [^\n]+\n$/);
  });

  it("start exits with 2 and names the port if it is in use", async () => {
    const taken = new URL(stack.emulator.url).port;
    const { code, stderr } = await run("start", { PORT: taken, KINDLING_LOG_LEVEL: "silent" }).ended;
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `error: 127.0.0.1:${taken} is taken by another process: choose another port.\n`,
    });
  });

  it("start exits with 3 if Redis can evict keys", async () => {
    const redis = await startEmbeddedRedis();
    try {
      const client = new Redis(redis.url);
      await client.config("SET", "maxmemory-policy", "allkeys-lru");
      client.disconnect();
      const { code, stderr } = await run("start", { REDIS_URL: redis.url }).ended;
      expect(code).toBe(3);
      expect(stderr).toMatch(/^error: Redis may evict keys [^\n]+\n$/);
    } finally {
      await redis.close();
    }
  });
});
