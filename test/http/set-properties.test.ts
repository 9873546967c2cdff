import { afterEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { runServer } from "../../src/service/run-server.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { startWire, type Wire } from "../support/wire.ts";

const token = "a-token-of-the-tests.0123456789~+/=";
let stack: Stack;
let id: string;
let wire: Wire | undefined;

afterEach(async () => {
  await stack.close();
  await wire?.close();
  wire = undefined;
});

async function start(options: StackOptions = {}) {
  stack = await startStack({ ...options, env: { KINDLING_API_TOKEN: token, ...options.env } });
  id = stack.emulator.kinde.createUser({ properties: { onboarded: "false" } }).id;
}

interface Sent {
  user?: string;
  authorization?: string | undefined;
  method?: string;
  base?: string;
}

async function send(body: unknown, sent: Sent = {}) {
  const { user = id, authorization = `Bearer ${token}`, method = "POST", base = stack.webhookUrl } = sent;
  const response = await fetch(new URL(`/v1/users/${user}/properties`, base), {
    method,
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json", ...(authorization && { authorization }) },
  });
  const answer = (await response.json()) as Record<string, unknown> & { error?: { code: string; message: string } };
  const { code, message } = answer.error ?? {};
  return { status: response.status, answer, code, message, headers: response.headers };
}

const flagsOf = async () => (await stack.record(id))?.flags;
const patches = () =>
  Object.entries(stack.emulator.stats.calls).reduce(
    (sum, [route, n]) => (route.startsWith("PATCH ") ? sum + n : sum),
    0,
  );

describe("POST /v1/users/{id}/properties", () => {
  it("names the flags that a written value does not fit, to the caller and not in the log", async () => {
    await start();
    const { status, answer } = await send({ properties: { plan_tier: "gold", onboarded: true } });
    expect({ status, answer }).toMatchObject({
      status: 200,
      answer: { flags: { tier: "free" }, misfits: [{ flag: "tier", reason: expect.stringContaining('"gold"') }] },
    });
  });

  it("sets properties in Kinde and returns the flags that every reader now sees", async () => {
    await start();
    const { status, answer } = await send({ properties: { onboarded: true, plan_tier: "pro" } });
    expect({ status, answer }).toEqual({
      status: 200,
      answer: {
        flags: expect.objectContaining({ onboarded: true, tier: "pro" }),
        ticket: expect.any(Number),
        fetchedAt: expect.any(Number),
        misfits: [],
      },
    });
    const { misfits: _none, ...record } = answer;
    expect(await stack.record(id)).toMatchObject(record);
    expect(stack.emulator.kinde.user(id)?.properties).toMatchObject({ onboarded: "true", plan_tier: "pro" });
  });

  it("is never overwritten by slower refreshes that started before it", async () => {
    await start({ env: { KINDLING_WRITE_SETTLE: "60s" } });
    const { refreshUser } = createFlows({
      config: stack.config,
      world: stack.world,
      store: stack.store,
      definitions: await loadDefinitions(stack.config.flagsFile),
    });
    const call = { priority: "webhook", signal: new AbortController().signal } as const;
    const remove = stack.emulator.faults.set({ kind: "latency", ms: [200, 900], when: "after", user: id, count: 8 });
    const slow = [1, 2, 3, 4].map(() => refreshUser(id, call));
    await until(() => expect(stack.emulator.faults.list()[0]?.struck ?? 8).toBe(8));
    remove();
    for (const tier of ["pro", "enterprise", "free"]) {
      const { answer } = await send({ properties: { plan_tier: tier } });
      expect(answer).toMatchObject({ flags: { tier } });
      expect(await flagsOf()).toMatchObject({ tier });
    }
    await send({ properties: { plan_tier: "enterprise" } });
    expect((await Promise.all(slow)).every(({ outcome }) => outcome === "superseded")).toBe(true);
    expect(await flagsOf()).toMatchObject({ tier: "enterprise" });
  });

  it("removes a value if it is null", async () => {
    await start();
    await send({ properties: { plan_tier: "pro" } });
    const { answer } = await send({ properties: { plan_tier: null } });
    expect(answer).toMatchObject({ flags: { tier: "free" } });
    expect(stack.emulator.kinde.user(id)?.properties).toEqual({ onboarded: "false" });
  });

  it("drops Kinde's token cache on request and reports if only that failed", async () => {
    await start();
    const claims = () => Object.keys(stack.emulator.stats.calls).filter((route) => route.includes("refresh_claims"));
    await send({ properties: { plan_tier: "pro" } });
    expect(claims()).toHaveLength(0);
    expect(await send({ properties: { plan_tier: "pro" }, refreshClaims: true })).toMatchObject({ status: 200 });
    expect(claims()).toHaveLength(1);
    stack.emulator.faults.set({ kind: "error", status: 403, path: "/api/v1/users/*/refresh_claims" });
    const { status, code, message } = await send({ properties: { plan_tier: "enterprise" }, refreshClaims: true });
    expect({ status, code }).toEqual({ status: 502, code: "claims_not_refreshed" });
    expect(message).toContain("update:user_refresh_claims");
    expect(await flagsOf()).toMatchObject({ tier: "enterprise" });
  });

  it("does not exist without a token setting or for other methods", async () => {
    await start({ env: { KINDLING_API_TOKEN: "" } });
    expect(await send({ properties: { plan_tier: "pro" } })).toMatchObject({ status: 404, code: "not_found" });
    expect(patches()).toBe(0);
    await stack.close();
    await start();
    expect(await send("", { method: "PUT" })).toMatchObject({ status: 404, code: "not_found" });
  });

  it.each([
    ["no header", ""],
    ["another scheme", `Basic ${token}`],
    ["the token without a scheme", token],
    ["an empty token", "Bearer "],
    ["a prefix of the token", `Bearer ${token.slice(0, 20)}`],
    ["the token with an extra character", `Bearer ${token.replace("=", "x=")}`],
    ["invalid characters", "Bearer {}"],
  ])("rejects requests without the token before anything else: %s", async (_what, authorization) => {
    await start();
    const { status, code, headers } = await send("{", { authorization });
    expect({ status, code }).toEqual({ status: 401, code: "unauthorized" });
    expect(headers.get("www-authenticate")).toMatch(/^Bearer /);
    expect(stack.emulator.stats.total).toBe(0);
  });

  it.each([
    ["invalid JSON", "{", {}],
    ["an empty body", "", {}],
    ["an array", [], {}],
    ["no properties member", {}, {}],
    ["no properties", { properties: {} }, {}],
    ["a nested value", { properties: { plan_tier: { to: "secret-value" } } }, {}],
    [
      "thousands of nested values",
      { properties: Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [n, []])) },
      {},
    ],
    ["an unknown member", { properties: { plan_tier: "pro" }, refresh_claims: true }, {}],
    ["a member named like a value", { properties: { plan_tier: "pro" }, "secret-value@example.com": 1 }, {}],
    ["a refreshClaims that is not a boolean", { properties: { plan_tier: "pro" }, refreshClaims: "yes" }, {}],
    ["an invalid id", { properties: { plan_tier: "pro" } }, { user: "someone@example.com" }],
    ["an id with a path in it", { properties: { plan_tier: "pro" } }, { user: "kp_1%2F..%2Fkp_2" }],
    ["an id with braces", { properties: { plan_tier: "pro" } }, { user: "kp_1%7D%3Akp_2" }],
    ["an id with a line break", { properties: { plan_tier: "pro" } }, { user: "kp_1%0A" }],
    ["an id that cannot be decoded", { properties: { plan_tier: "pro" } }, { user: "kp_%zz" }],
  ])("rejects malformed requests without calling Kinde or repeating a value: %s", async (_what, body, sent) => {
    await start();
    const { status, code, message } = await send(body, sent);
    expect({ status, code }).toEqual({ status: 400, code: "request_malformed" });
    expect(message).not.toContain("secret-value");
    expect(message?.length).toBeLessThan(2_000);
    expect(stack.emulator.stats.total).toBe(0);
  });

  it("accepts both forms of user ids", async () => {
    await start();
    stack.emulator.kinde.importUsers([{ id: "kp:0123456789abcdef0123456789abcdef" }]);
    for (const user of ["kp:0123456789abcdef0123456789abcdef", "kp%3A0123456789abcdef0123456789abcdef"]) {
      expect(await send({ properties: { plan_tier: "pro" } }, { user })).toMatchObject({ status: 200 });
    }
  });

  it("rejects a body that is too large", async () => {
    await start({ env: { KINDLING_MAX_BODY_BYTES: "1024" } });
    const { status, code } = await send({ properties: { note: "x".repeat(2_000) } });
    expect({ status, code }).toEqual({ status: 413, code: "body_too_large" });
  });

  it("limits authenticated requests per minute across all processes", async () => {
    await start({ env: { KINDLING_API_CALLS_PER_MINUTE: "3" } });
    for (let call = 0; call < 5; call += 1) await send({}, { authorization: "" });
    for (let call = 0; call < 3; call += 1) expect(await send({})).toMatchObject({ status: 400 });
    const another = await runServer(stack.config, stack.world, stack.log, stack.store);
    const base = `http://127.0.0.1:${another.port}`;
    const { status, code, headers } = await send({ properties: { plan_tier: "pro" } }, { base });
    await another.close();
    expect({ status, code }).toEqual({ status: 429, code: "too_many_requests" });
    expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(Number(headers.get("retry-after"))).toBeLessThanOrEqual(60);
    expect(stack.emulator.stats.total).toBe(0);
  });
});

describe("a write that Kinde does not accept", () => {
  it("answers 400 with Kinde's message for an unknown property and changes nothing", async () => {
    await start();
    const { status, code, message } = await send({ properties: { no_such_property: "x" } });
    expect({ status, code }).toEqual({ status: 400, code: "kinde_rejected" });
    expect(message).toContain("no_such_property");
    expect(await stack.record(id)).toBeNull();
  });

  it.each([404, 400] as const)("answers 404 for an unknown user if Kinde answers %i", async (answered) => {
    await start();
    stack.emulator.faults.set({ kind: "unknown_user", status: answered });
    const { status, code } = await send({ properties: { plan_tier: "pro" } }, { user: "kp_0123456789abcdef" });
    expect({ status, code }).toEqual({ status: 404, code: "user_not_found" });
  });

  it.each([
    [403, 502, "kinde_forbidden"],
    [503, 503, "kinde_unavailable"],
    [429, 503, "throttled"],
  ])("with Kinde's status %i answers %i %s", async (theirs, ours, expected) => {
    await start();
    const scope = { method: "PATCH" };
    if (theirs === 429) stack.emulator.faults.set({ kind: "too_many_requests", resetSeconds: 7, ...scope });
    else stack.emulator.faults.set({ kind: "error", status: theirs, ...scope });
    const { status, code, message, headers } = await send({ properties: { plan_tier: "pro" } });
    expect({ status, code }).toEqual({ status: ours, code: expected });
    if (theirs === 403) expect(message).toContain("update:user_properties");
    if (theirs === 429) expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
    expect(await stack.record(id)).toBeNull();
  });

  it("answers 502 for wrong credentials", async () => {
    await start({ env: { KINDE_MANAGEMENT_CLIENT_SECRET: "wrong" } });
    const { status, code } = await send({ properties: { plan_tier: "pro" } });
    expect({ status, code }).toEqual({ status: 502, code: "kinde_unauthorized" });
  });

  it("answers 503 without calling Kinde while Redis is down", async () => {
    wire = await startWire(testRedisUrl());
    await start({ redisUrl: wire.url, workers: false, env: { KINDLING_REDIS_TIMEOUT: "300ms" } });
    wire.cut();
    await until(() => expect(stack.store.redis.status).not.toBe("ready"));
    expect(await send({ properties: { plan_tier: "pro" } })).toMatchObject({ status: 503, code: "store_unavailable" });
    expect(patches()).toBe(0);
    wire.restore();
    await until(async () => expect(await send({ properties: { plan_tier: "pro" } })).toMatchObject({ status: 200 }));
  });
});

describe("a write that Kinde accepts", () => {
  it("answers 503 while it is not visible and succeeds when repeated", async () => {
    await start();
    const stop = stack.emulator.faults.set({ kind: "error", status: 503, method: "GET" });
    const { status, code } = await send({ properties: { plan_tier: "pro" } });
    expect({ status, code }).toEqual({ status: 503, code: "write_not_visible" });
    stop();
    const { answer } = await send({ properties: { plan_tier: "pro" } });
    expect(answer).toMatchObject({ flags: { tier: "pro" } });
  });

  it("becomes visible even if Kinde's answer is lost", async () => {
    await start({ env: { KINDLING_WRITE_SETTLE: "200ms" } });
    stack.emulator.faults.set({ kind: "truncated", method: "PATCH" });
    const { status, code } = await send({ properties: { plan_tier: "pro" } });
    expect({ status, code }).toEqual({ status: 503, code: "kinde_unavailable" });
    await until(async () => expect(await flagsOf()).toMatchObject({ tier: "pro" }));
  });
});

it("answers requests in progress when the process shuts down", async () => {
  await start({ env: { KINDLING_SHUTDOWN_TIMEOUT: "500ms" } });
  const server = await runServer(stack.config, stack.world, stack.log, stack.store);
  stack.emulator.faults.set({ kind: "hang", method: "PATCH" });
  const answer = send({ properties: { plan_tier: "pro" } }, { base: `http://127.0.0.1:${server.port}` });
  await until(() => expect(stack.emulator.faults.list()[0]?.struck).toBe(1));
  await server.close();
  expect(await answer).toMatchObject({ status: 503, code: "shutting_down" });
});

it("never logs values or tokens", async () => {
  const logged: unknown[] = [];
  const note = (fields: object, message: string) => logged.push(fields, message);
  await start({ log: { debug: note, info: note, warn: note, error: note } });
  stack.emulator.faults.set({ kind: "error", status: 400, method: "PATCH", message: "secret-value is too long" });
  expect((await send({ properties: { plan_tier: "secret-value" } })).message).toContain("secret-value");
  await send({ properties: { plan_tier: { to: "secret-value" } } });
  await send({}, { authorization: "Bearer secret-value" });
  expect(JSON.stringify(logged)).toContain("kinde_rejected");
  expect(JSON.stringify(logged)).not.toMatch(/secret-value|a-token-of/);
});
