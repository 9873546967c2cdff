import { get } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Log } from "../../src/log.ts";
import { listMetrics } from "../../src/status/list-metrics.ts";
import { readFigures } from "../../src/status/read-status.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const token = "a-token-of-the-tests.0123456789~+/=";
let stack: Stack;
let lines: { level: string; says: string; fields: Record<string, unknown> }[];

afterEach(() => stack.close());

async function start(env: Record<string, string> = {}) {
  lines = [];
  const note = (level: string) => (fields: object, says: string) => {
    lines.push({ level, says, fields: { ...fields } });
  };
  const log: Log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
  stack = await startStack({ env: { KINDLING_API_TOKEN: token, ...env }, log });
}

const said = (text: string) => lines.filter(({ says }) => says === text).map(({ fields }) => fields);

function setTier(id: string, given: string, headers: Record<string, string> = {}) {
  return fetch(new URL(`/v1/users/${id}/properties`, stack.webhookUrl), {
    method: "POST",
    headers: { authorization: `Bearer ${given}`, ...headers },
    body: JSON.stringify({ properties: { plan_tier: "pro", onboarded: true } }),
  });
}

/** Sends many requests, at most 50 at once. Returns how many got which status. */
async function flood(times: number, send: (n: number) => Promise<Response>): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  let next = 0;
  const sender = async () => {
    while (next < times) {
      const response = await send(next++);
      await response.arrayBuffer();
      statuses[response.status] = (statuses[response.status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 50 }, sender));
  return statuses;
}

async function refused(): Promise<Record<string, number>> {
  return (await readFigures(stack.store, stack.config, Date.now())).refusedRequests;
}

describe("wrong tokens", () => {
  it("are limited, logged in samples and counted, while the right token passes", async () => {
    await start();
    const { id } = stack.emulator.kinde.createUser({});
    const statuses = await flood(400, () => setTier(id, "wrong-token-0123456789-0123456789-01"));
    expect(statuses).toEqual({ 401: 60, 429: 340 });
    expect((await setTier(id, token)).status).toBe(200);
    expect(said("request refused")).toEqual([
      {
        route: "POST /v1/users/{id}/properties",
        status: 401,
        code: "unauthorized",
        address: "127.0.0.1",
        message: expect.any(String),
      },
    ]);
    await until(async () => expect(await refused()).toEqual({ "POST /v1/users/{id}/properties:unauthorized": 400 }));
    const metrics = listMetrics({
      figures: await readFigures(stack.store, stack.config, Date.now()),
      readable: { within: [], events: 0, sumMs: 0 },
      activity: await stack.store.activity.read(),
      memory: { used: 0, limit: 0 },
    });
    expect(metrics.find(({ name }) => name === "kindling_requests_refused_total")?.samples).toEqual([
      { labels: { route: "POST /v1/users/{id}/properties", code: "unauthorized" }, value: 400 },
    ]);
  });

  it("are counted for the client that a trusted proxy names, not for one that a client names", async () => {
    await start({ KINDLING_TRUSTED_PROXIES: "127.0.0.0/8", KINDLING_REFUSED_PER_MINUTE: "3" });
    const { id } = stack.emulator.kinde.createUser({});
    // The attacker changes what it writes itself; the proxy appends the address it was called from.
    const attack = (n: number) => setTier(id, "wrong", { "x-forwarded-for": `203.0.113.${n % 250}, 198.51.100.7` });
    expect(await flood(100, attack)).toEqual({ 401: 3, 429: 97 });
    expect((await setTier(id, "wrong", { "x-forwarded-for": "198.51.100.8" })).status).toBe(401);
    expect(said("request refused")[0]).toMatchObject({ address: "198.51.100.7" });
  });
});

describe("junk webhooks", () => {
  it("leave few lines, and never keep a genuine event of the same address out", async () => {
    await start({ KINDLING_REFUSED_PER_MINUTE: "10" });
    stack.subscribe();
    const junk = (n: number) => fetch(stack.webhookUrl, { method: "POST", body: n % 2 === 0 ? "junk" : "a.b.c" });
    const statuses = await flood(200, junk);
    expect(statuses).toEqual({ 400: 10, 429: 190 });
    const { id } = stack.emulator.kinde.createUser({});
    await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }));
    expect(stack.emulator.deliveries.list().map(({ attempts }) => attempts)).toEqual([1]);
    expect(said("request refused")).toHaveLength(1);
  });
});

describe("paths with dot segments", () => {
  it("are refused requests", async () => {
    await start({ KINDLING_REFUSED_PER_MINUTE: "3" });
    const { hostname, port } = new URL(stack.webhookUrl);
    const send = () =>
      new Promise<number | undefined>((resolve, reject) => {
        // `fetch` resolves dot segments.
        get({ hostname, port, path: "/v1/%2e%2e/flags" }, (response) => resolve(response.resume().statusCode)).on(
          "error",
          reject,
        );
      });
    expect([await send(), await send(), await send(), await send()]).toEqual([400, 400, 400, 429]);
    await until(async () => expect(await refused()).toEqual({ "other:request_malformed": 4 }));
    expect(said("request refused")).toMatchObject([{ route: "other", status: 400, address: "127.0.0.1" }]);
  });
});

describe("bodies that break off", () => {
  it.each([
    ["with a length", "content-length: 100\r\n\r\nabc"],
    ["in chunks", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"],
  ])("are refused requests, no failures of ours: %s", async (_name, rest) => {
    await start({ KINDLING_REFUSED_PER_MINUTE: "5" });
    const { hostname, port } = new URL(stack.webhookUrl);
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const socket = connect(Number(port), hostname);
        await new Promise((sent) => socket.write(`POST /webhooks/kinde HTTP/1.1\r\nhost: x\r\n${rest}`, sent));
        socket.destroy();
      }),
    );
    await until(async () => expect(await refused()).toEqual({ "POST /webhooks/kinde:body_incomplete": 8 }));
    expect(said("request refused")).toHaveLength(1);
    expect(lines.filter(({ level }) => level === "error")).toEqual([]);
    const total = (counts: readonly { count: number }[]) => counts.reduce((sum, { count }) => sum + count, 0);
    await until(async () => expect(total((await stack.store.activity.read()).answers)).toBe(8));
    const { answers } = await stack.store.activity.read();
    expect(answers.filter(({ status }) => !["400", "429"].includes(status))).toEqual([]);
  });
});

describe("a successful write", () => {
  it("logs the caller, the user and the property keys, but no value and no token", async () => {
    await start();
    const { id } = stack.emulator.kinde.createUser({});
    expect((await setTier(id, token)).status).toBe(200);
    expect(said("properties set")).toEqual([
      { token: "KINDLING_API_TOKEN", address: "127.0.0.1", userId: id, properties: ["plan_tier", "onboarded"] },
    ]);
    expect(JSON.stringify(lines)).not.toContain(token);
    expect(JSON.stringify(said("properties set"))).not.toContain('"pro"');
  });

  it("leaves the line only if it succeeded", async () => {
    await start();
    expect((await setTier("kp_nobody", token)).status).toBe(404);
    expect(said("properties set")).toEqual([]);
  });
});
