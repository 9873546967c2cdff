import { serve as listen, type ServerType } from "@hono/node-server";
import { Hono } from "hono";
import { Redis } from "ioredis";
import type { Emulator } from "kinde-emulator";
import { createReader, defineFlags, property } from "kindling";
import { createService, type Service } from "kindling-server";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config.ts";
import { envOf } from "../cli/command-line.ts";
import { startEmulator } from "../support/emulator.ts";
import { laterConnections } from "../support/later-connections.ts";
import { dropKeys, testConfig } from "../support/stack.ts";
import { until } from "../support/until.ts";

const token = "a-token-of-the-tests.0123456789~+/=";
const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
});

let emulator: Emulator;
let config: Config;
let redis: Redis;
let service: Service;
let server: ServerType;
let origin: string;

const connections = () => laterConnections(redis);

beforeEach(async () => {
  emulator = await startEmulator({ retryTimeScale: 0.01 });
  config = testConfig(emulator);
  redis = new Redis(config.redisUrl);
  service = await createService({
    definitions,
    env: {
      ...envOf(config),
      KINDLING_API_TOKEN: token,
      KINDLING_LOG_LEVEL: "silent",
      KINDLING_SHUTDOWN_TIMEOUT: "5s",
      KINDLING_WATCH_INTERVAL: "200ms",
    },
  });
  // A product with routes of its own, one of them under the same path as Kindling's.
  const product = new Hono()
    .route("/", service.app)
    .get("/", (context) => context.text("Hello"))
    .get("/v1/users/:id", (context) => context.text(context.req.param("id")));
  server = await new Promise<ServerType>((resolve) => {
    const started = listen({ fetch: product.fetch, hostname: "127.0.0.1", port: 0 }, () => resolve(started));
  });
  const address = server.address();
  origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
});

afterEach(async () => {
  await service.close();
  await emulator.close();
  await new Promise((resolve) => server.close(resolve));
  await dropKeys(config);
  redis.disconnect();
});

const reader = () => createReader({ redis, definitions, prefix: config.prefix });

async function setProperties(id: string, properties: unknown) {
  const response = await fetch(`${origin}/v1/users/${id}/properties`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ properties }),
  });
  return { status: response.status, answer: (await response.json()) as { error?: { code: string } } };
}

describe("a service mounted in another app", () => {
  it("makes a user readable after Kinde's webhook", async () => {
    service.startWorkers();
    emulator.webhooks.register({ url: `${origin}/webhooks/kinde` });
    const { id } = emulator.kinde.createUser({ properties: { onboarded: "true", plan_tier: "pro" } });
    await until(async () =>
      expect(await reader().get(id)).toMatchObject({ status: "present", flags: { onboarded: true, tier: "pro" } }),
    );
    expect(emulator.deliveries.list().map(({ state }) => state)).toEqual(["delivered"]);
  });

  it("writes properties for callers with the token", async () => {
    const { id } = emulator.kinde.createUser();
    const { status, answer } = await setProperties(id, { onboarded: true, plan_tier: "pro" });
    expect({ status, answer }).toMatchObject({ status: 200, answer: { flags: { onboarded: true, tier: "pro" } } });
    expect(await reader().get(id)).toMatchObject({ flags: { onboarded: true, tier: "pro" } });
    expect(emulator.kinde.user(id)?.properties).toEqual({ onboarded: "true", plan_tier: "pro" });
    const refused = await fetch(`${origin}/v1/users/${id}/properties`, { method: "POST", body: "{}" });
    expect(refused.status).toBe(401);
  });

  it("refreshes users without HTTP", async () => {
    const { id } = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
    const call = { priority: "webhook", signal: new AbortController().signal } as const;
    expect(await service.flows.refreshUser(id, call)).toMatchObject({ outcome: "committed" });
    expect((await reader().get(id)).flags.tier).toBe("pro");
  });

  it("leaves the routes of the app alone, also after it is closed", async () => {
    const texts = async () =>
      Promise.all(["/", "/v1/users/kp_1"].map(async (path) => (await fetch(origin + path)).text()));
    expect(await texts()).toEqual(["Hello", "kp_1"]);
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
    await service.close();
    expect(await texts()).toEqual(["Hello", "kp_1"]);
  });
});

describe("a service whose store is wiped", () => {
  it("closes if another tenant binds the store first", async () => {
    service.startWorkers();
    await dropKeys(config);
    await redis.set(`${config.prefix}:tenant`, JSON.stringify({ v: 1, domain: "https://other.kinde.com" }));
    await until(async () => expect(await connections()).toEqual([]));
    expect((await fetch(`${origin}/webhooks/kinde`, { method: "POST" })).status).toBe(503);
    expect(() => service.startWorkers()).toThrow(expect.objectContaining({ code: "closed" }));
  });
});

describe("close", () => {
  it("ends every connection to Redis and every timer, and can be repeated", async () => {
    await service.close();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    await until(async () => expect(await connections()).toEqual([]));
    const before = timers();

    const other = await createService({ definitions, env: { ...envOf(config), KINDLING_LOG_LEVEL: "silent" } });
    other.startWorkers();
    await until(async () => expect((await connections()).length).toBeGreaterThan(5));
    const first = other.close();
    expect(other.close()).toBe(first);
    await first;
    await other.close();
    await until(async () => expect(await connections()).toEqual([]));
    await until(() => expect(timers()).toBeLessThanOrEqual(before));
    expect(() => other.startWorkers()).toThrow(expect.objectContaining({ code: "closed" }));
  });

  it("can follow a close of the workers", async () => {
    const workers = service.startWorkers();
    await workers.close();
    await workers.close();
    await service.close();
    await until(async () => expect(await connections()).toEqual([]));
  });

  it("waits for requests in progress and answers new ones with 503", async () => {
    const { id } = emulator.kinde.createUser();
    const fault = { kind: "latency", ms: 700, method: "PATCH" } as const;
    emulator.faults.set(fault);
    const writing = setProperties(id, { plan_tier: "pro" });
    await until(() => expect(emulator.faults.list()[0]?.struck).toBe(1));
    const closing = service.close();
    expect(await setProperties(id, { plan_tier: "free" })).toMatchObject({
      status: 503,
      answer: { error: { code: "shutting_down" } },
    });
    expect(await writing).toMatchObject({ status: 200 });
    await closing;
    expect(emulator.kinde.user(id)?.properties).toMatchObject({ plan_tier: "pro" });
  });

  it("ends a request that hangs within the shutdown timeout", async () => {
    const hanging = await createService({
      definitions,
      env: {
        ...envOf(config),
        KINDLING_API_TOKEN: token,
        KINDLING_LOG_LEVEL: "silent",
        KINDLING_SHUTDOWN_TIMEOUT: "500ms",
      },
    });
    const { id } = emulator.kinde.createUser();
    emulator.faults.set({ kind: "hang", method: "PATCH" });
    const answer = hanging.app.request(`/v1/users/${id}/properties`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ properties: { plan_tier: "pro" } }),
    });
    await until(() => expect(emulator.faults.list()[0]?.struck).toBe(1));
    const started = performance.now();
    await hanging.close();
    expect(performance.now() - started).toBeLessThan(2_000);
    expect((await answer).status).toBe(503);
  });
});
