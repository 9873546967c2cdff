import { fileURLToPath } from "node:url";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature } from "@openfeature/server-sdk";
import { type Provider, OpenFeature as WebOpenFeature } from "@openfeature/web-sdk";
import { createTestReader } from "kindling/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ofrepRoutes } from "../../src/read/ofrep-routes.ts";
import { createStreamKeys } from "../../src/read/stream-keys.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { clientId, userToken } from "../support/user-tokens.ts";
import { startWire, type Wire } from "../support/wire.ts";
import definitions from "./kindling.flags.ts";

const service = "reading.0123456789abcdef0123456789";
const env = {
  KINDLING_API_TOKENS: `reader:read:${service}`,
  KINDLING_CLIENT_IDS: clientId,
  KINDLING_FLAGS: fileURLToPath(new URL("kindling.flags.ts", import.meta.url)),
};
let stack: Stack;
let id: string;
let token: string;

beforeAll(async () => {
  stack = await startStack({ env });
  id = stack.emulator.kinde.createUser({ properties: { onboarded: "true", plan_tier: "pro" } }).id;
  token = await userToken(stack.emulator, id);
  await fetch(new URL(`/v1/users/${id}/refresh?wait=9000`, stack.webhookUrl), {
    method: "POST",
    headers: { authorization: `Bearer ${service}` },
  });
});

afterAll(() => stack.close());

interface Sent {
  authorization?: string | undefined;
  headers?: Record<string, string>;
  base?: string;
}

async function evaluate(key: string | undefined, body: unknown, sent: Sent = {}) {
  const { authorization = `Bearer ${service}`, headers = {}, base = stack.webhookUrl } = sent;
  const path = `/ofrep/v1/evaluate/flags${key === undefined ? "" : `/${encodeURIComponent(key)}`}`;
  const response = await fetch(new URL(path, base), {
    method: "POST",
    headers: { ...(authorization && { authorization }), "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, answer: text === "" ? undefined : JSON.parse(text) };
}

const forUser = (targetingKey: string) => ({ context: { targetingKey, plan: "ignored" } });

describe("POST /ofrep/v1/evaluate/flags/{key}", () => {
  it("answers value, reason and metadata", async () => {
    expect(await evaluate("tier", forUser(id))).toMatchObject({
      status: 200,
      answer: {
        key: "tier",
        value: "pro",
        reason: "TARGETING_MATCH",
        metadata: { status: "present", source: "record", ageMs: expect.any(Number), denied: false },
      },
    });
  });

  it("omits a null value, because the protocol has none", async () => {
    const { answer } = await evaluate("region", forUser(id));
    expect(answer).toMatchObject({ key: "region", reason: "TARGETING_MATCH" });
    expect(answer).not.toHaveProperty("value");
  });

  it("accepts a service token as X-API-Key", async () => {
    expect((await evaluate("tier", forUser(id), { authorization: "", headers: { "x-api-key": service } })).status).toBe(
      200,
    );
  });

  it("needs no targeting key with a user's token", async () => {
    const sent = { authorization: `Bearer ${token}` };
    expect((await evaluate("tier", {}, sent)).answer).toMatchObject({ value: "pro" });
    expect((await evaluate("tier", forUser(id), sent)).answer).toMatchObject({ value: "pro" });
  });

  it("answers 403 to a user's token for another user", async () => {
    const { status } = await evaluate("tier", forUser(testUser(1)), { authorization: `Bearer ${token}` });
    expect(status).toBe(403);
  });

  it.each([
    ["no_such_flag", forUser(testUser(1)), 404, "FLAG_NOT_FOUND"],
    ["constructor", forUser(testUser(1)), 404, "FLAG_NOT_FOUND"],
    ["tier", {}, 400, "TARGETING_KEY_MISSING"],
    ["tier", { context: {} }, 400, "TARGETING_KEY_MISSING"],
    ["tier", forUser("anonymous"), 400, "INVALID_CONTEXT"],
    ["tier", { context: { targetingKey: 7 } }, 400, "INVALID_CONTEXT"],
    ["tier", { context: "kp_1" }, 400, "INVALID_CONTEXT"],
    ["tier", [], 400, "INVALID_CONTEXT"],
    ["tier", "{", 400, "PARSE_ERROR"],
    ["tier", "", 400, "PARSE_ERROR"],
  ])("for %s and %j answers %i %s", async (key, body, status, errorCode) => {
    const given = await evaluate(key, body);
    expect(given).toMatchObject({ status, answer: { key, errorCode, errorDetails: expect.any(String) } });
  });

  it("rejects a body that is too large", async () => {
    expect((await evaluate("tier", { context: { x: "x".repeat(70_000) } })).status).toBe(413);
  });
});

describe("POST /ofrep/v1/evaluate/flags", () => {
  it("answers all flags, where to hear of changes, and a tag over the values", async () => {
    const { status, answer, headers } = await evaluate(undefined, forUser(id));
    expect(status).toBe(200);
    expect(answer.flags.map(({ key }: { key: string }) => key)).toEqual(
      expect.arrayContaining(["onboarded", "tier", "region", "admin", "suspended"]),
    );
    expect(answer.eventStreams).toEqual([
      { type: "sse", endpoint: { requestUri: expect.stringMatching(/^\/v1\/flags\/stream\?key=kp_/) } },
    ]);
    const tag = String(headers.get("etag"));
    const again = await evaluate(undefined, forUser(id), { headers: { "if-none-match": tag } });
    expect({ status: again.status, answer: again.answer }).toEqual({ status: 304, answer: undefined });
  });

  it("sends the stream's URL again when it has changed, even if no value has", async () => {
    let time = Date.now();
    const { pathOf } = createStreamKeys({ secret: new Uint8Array(32), now: () => time });
    const app = ofrepRoutes({
      // Two users whose values are equal.
      reader: createTestReader<Record<string, unknown>>({}, { definitions }),
      authenticate: () => (context, next) => {
        context.set("caller", { kind: "service", name: "reader" });
        return next();
      },
      refuse: () => expect.unreachable(),
      maxBodyBytes: 1_000,
      streamPath: pathOf,
    });
    const ask = async (n: number, known = "") => {
      const response = await app.request("/ofrep/v1/evaluate/flags", {
        method: "POST",
        headers: { "if-none-match": known },
        body: JSON.stringify(forUser(testUser(n))),
      });
      const [, uri] = /"requestUri":"([^"]+)"/.exec(await response.text()) ?? [];
      return { tag: String(response.headers.get("etag")), uri };
    };
    const first = await ask(1);
    expect((await ask(1, first.tag)).uri).toBeUndefined();
    const second = await ask(2, first.tag);
    expect(second.uri).toMatch(`key=${testUser(2)}`);
    time += 3_600_000;
    const later = await ask(2, second.tag);
    expect(later.uri).toMatch(`key=${testUser(2)}`);
    expect(later.uri).not.toBe(second.uri);
  });

  it("answers 400 without a key", async () => {
    const { status, answer } = await evaluate(undefined, {});
    expect({ status, answer }).toMatchObject({ status: 400, answer: { errorCode: "TARGETING_KEY_MISSING" } });
    expect(answer).not.toHaveProperty("key");
  });
});

describe("the published server provider", () => {
  const clientFor = async (headers: [string, string][]) => {
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: new URL(stack.webhookUrl).origin, headers }));
    return OpenFeature.getClient();
  };
  afterEach(() => OpenFeature.close());

  it("reads flags with a service token", async () => {
    const client = await clientFor([["Authorization", `Bearer ${service}`]]);
    const user = { targetingKey: id };
    expect(await client.getBooleanValue("onboarded", false, user)).toBe(true);
    expect(await client.getStringDetails("tier", "none", user)).toMatchObject({
      value: "pro",
      reason: "TARGETING_MATCH",
      flagMetadata: { status: "present" },
    });
    expect(await client.getStringValue("region", "the caller's default", user)).toBe("the caller's default");
  });

  it("reads flags with the user's token", async () => {
    const client = await clientFor([["Authorization", `Bearer ${token}`]]);
    expect(await client.getStringValue("tier", "none")).toBe("pro");
  });

  it("returns the caller's default with the error code for unknown flags and users", async () => {
    const client = await clientFor([["Authorization", `Bearer ${service}`]]);
    expect(await client.getBooleanDetails("no_such_flag", true, { targetingKey: id })).toMatchObject({
      value: true,
      errorCode: "FLAG_NOT_FOUND",
    });
    expect(await client.getBooleanDetails("onboarded", true, {})).toMatchObject({
      value: true,
      errorCode: "TARGETING_KEY_MISSING",
    });
    expect(await client.getBooleanDetails("tier", true, { targetingKey: id })).toMatchObject({
      value: true,
      errorCode: "TYPE_MISMATCH",
    });
  });
});

describe("the published web provider", () => {
  afterEach(() => WebOpenFeature.close());

  it("reads flags with the user's token", async () => {
    const baseUrl = new URL(stack.webhookUrl).origin;
    await WebOpenFeature.setProviderAndWait(
      new OFREPWebProvider({
        baseUrl,
        cacheMode: "disabled",
        changeDetection: "none",
        headersFactory: async () => [["Authorization", `Bearer ${token}`]],
        // Its optional members are wider than our strict settings allow.
      }) as Provider,
    );
    const client = WebOpenFeature.getClient();
    expect(client.getBooleanValue("onboarded", false)).toBe(true);
    expect(client.getStringDetails("tier", "none")).toMatchObject({ value: "pro", reason: "TARGETING_MATCH" });
    expect(client.getBooleanDetails("no_such_flag", true)).toMatchObject({ value: true, errorCode: "FLAG_NOT_FOUND" });
  });
});

describe("without Redis", () => {
  let wire: Wire;
  let alone: Stack;
  beforeAll(async () => {
    wire = await startWire(testRedisUrl());
    alone = await startStack({ redisUrl: wire.url, workers: false, env: { ...env, KINDLING_REDIS_TIMEOUT: "500ms" } });
  });
  afterAll(async () => {
    await alone.close();
    await wire.close();
  });

  it("answers deny values, and error codes for all other flags", async () => {
    const ask = (key?: string) => evaluate(key, forUser(id), { base: alone.webhookUrl });
    wire.cut();
    await until(async () => expect((await ask("tier")).status).toBe(500));
    const { status, answer, headers } = await ask();
    expect({ status, tag: headers.get("etag") }).toEqual({ status: 200, tag: null });
    const flags = Object.fromEntries(answer.flags.map((flag: { key: string }) => [flag.key, flag]));
    expect(flags.tier).toMatchObject({ errorCode: "GENERAL" });
    expect(flags.suspended).toMatchObject({ value: true, reason: "DEFAULT", metadata: { denied: true } });
    expect(await ask("suspended")).toMatchObject({ status: 200, answer: { value: true } });
    wire.restore();
    await until(async () => expect((await ask("tier")).status).toBe(200));
  });
});
