import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import { createKindling, defineFlags, type KindlingError, type Reader } from "kindling";
import { kindlingHono } from "kindling/hono";
import { createVerifier } from "kindling/request";
import { acceptUserIds } from "kindling/testing";
import { afterAll, afterEach, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import definitions from "../read/kindling.flags.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { clientId, userToken } from "../support/user-tokens.ts";
import { browserFetch, workersFetch } from "../support/workers-fetch.ts";

const token = "reading.0123456789abcdef0123456789";
const writeToken = "writing.0123456789abcdef0123456789";
let stack: Stack;
let url: string;
let redis: Redis;
let overRedis: Reader<typeof definitions.defaults>;
let overHttp: Reader<typeof definitions.defaults>;

beforeAll(async () => {
  stack = await startStack({
    env: {
      KINDLING_API_TOKENS: `reader:read:${token},app:read+write:${writeToken}`,
      KINDLING_CLIENT_IDS: clientId,
      KINDLING_FLAGS: new URL("../read/kindling.flags.ts", import.meta.url).pathname,
    },
  });
  url = new URL(stack.webhookUrl).origin;
  redis = new Redis(testRedisUrl());
  overRedis = createKindling({ definitions, redis, prefix: stack.config.prefix });
  overHttp = createKindling({ definitions, url, token });
});

afterAll(async () => {
  overRedis.close();
  overHttp.close();
  redis.disconnect();
  await stack.close();
});

const user = (properties: Record<string, string> = {}) => stack.emulator.kinde.createUser({ properties }).id;

describe("reading over HTTP", () => {
  it("answers as over Redis, for every kind of record", async () => {
    const present = user({ plan_tier: "pro", onboarded: "true" });
    const broken = testUser(900);
    const deleted = testUser(901);
    await overHttp.get(present, { maxAge: 0, wait: 5_000 });
    await stack.store.records.bury(deleted, {
      flags: definitions.defaults,
      status: "deleted",
      fetchedAt: Date.now(),
      ticket: 1,
      schema: definitions.schema,
    });
    await redis.set(stack.store.keys.flags(broken), "{");
    for (const id of [present, testUser(902), broken, deleted]) {
      const [one, other] = [await overRedis.get(id, { wait: 0 }), await overHttp.get(id, { wait: 0 })];
      expect(other).toEqual({ ...one, age: one.age === null ? null : expect.any(Number) });
      expect(other.age ?? 0).toBeGreaterThanOrEqual(one.age ?? 0);
    }
    expect(await overHttp.get(present)).toMatchObject({ status: "present", flags: { tier: "pro", suspended: false } });
    expect(await overHttp.get(deleted)).toMatchObject({ status: "deleted", denied: ["suspended"] });
  });

  it("answers with the fetch of Cloudflare Workers", async () => {
    const reader = createKindling({ definitions, url, token, fetch: workersFetch() });
    expect((await reader.get(testUser(900), { wait: 0 })).status).not.toBe("unavailable");
  });

  it("counts its answers", async () => {
    const reader = createKindling({ definitions, url, token });
    await reader.get("not an id");
    await reader.getMany([testUser(903), testUser(904)]);
    const stats = { answers: { present: 0, missing: 3, deleted: 0, invalid: 0, unavailable: 0 }, cached: 0, denied: 3 };
    expect(reader.stats()).toEqual(stats);
  });

  it("waits for a refresh as asked", async () => {
    const id = user();
    await overHttp.get(id, { maxAge: 0, wait: 5_000 });
    stack.emulator.kinde.setProperties(id, { plan_tier: "pro" });
    expect((await overHttp.get(id, { maxAge: 0, wait: 5_000 })).flags.tier).toBe("pro");
  });

  it("takes verified claims for a user without a record, and for nobody else", async () => {
    const id = testUser(903);
    const claims = { sub: id, iat: Math.floor(Date.now() / 1000), user_properties: { plan_tier: { v: "pro" } } };
    const options = { claims, wait: 0 };
    expect(await overHttp.get(id, options)).toMatchObject({
      source: "claims",
      flags: { tier: "pro" },
      complete: false,
    });
    expect(await overHttp.get(testUser(904), options)).toMatchObject({ source: "defaults", flags: { tier: "free" } });
    // A visitor of an app in JavaScript.
    const visitor = await overHttp.get(undefined as never, { claims: null } as never);
    expect(visitor).toMatchObject({ status: "missing", source: "defaults" });
  });

  it("requests a refresh if newer claims disagree with the record", async () => {
    const id = user();
    await overHttp.get(id, { maxAge: 0, wait: 5_000 });
    stack.emulator.kinde.setProperties(id, { plan_tier: "pro" });
    const iat = Math.ceil(Date.now() / 1000) + 1;
    const claims = { sub: id, iat, user_properties: { plan_tier: { v: "pro" } } };
    expect((await overHttp.get(id, { claims })).flags.tier).toBe("free");
    await until(async () => expect((await overHttp.get(id)).flags.tier).toBe("pro"));
  });

  it("reads with the user's own token, given by a function", async () => {
    const id = user({ plan_tier: "pro" });
    await overHttp.get(id, { maxAge: 0, wait: 5_000 });
    const errors: KindlingError[] = [];
    const kindling = createKindling({
      definitions,
      url: `${url}/`,
      token: () => userToken(stack.emulator, id),
      onError: (error) => errors.push(error),
    });
    expect((await kindling.get(id)).flags.tier).toBe("pro");
    expect(errors).toEqual([]);
    expect(await kindling.get(testUser(905))).toMatchObject({ status: "unavailable", denied: ["suspended"] });
    expect(errors.map(({ code }) => code)).toEqual(["service_unauthorized"]);
  });
});

describe("createKindling", () => {
  const verify = createVerifier({ issuer: "https://acme.kinde.com", clientIds: ["app"] });

  it("writes, reads its own write from memory and serves requests through one client", async () => {
    const id = user({ plan_tier: "free" });
    await overHttp.get(id, { maxAge: 0, wait: 5_000 });
    const kindling = createKindling({
      definitions,
      redis,
      prefix: stack.config.prefix,
      cache: {},
      url,
      token: async () => writeToken,
      verify: acceptUserIds,
    });
    await until(async () => expect((await kindling.get(id)).cached).toBe(true));
    expect((await kindling.setProperties(id, { plan_tier: "pro" })).flags.tier).toBe("pro");
    expect((await kindling.get(id)).flags.tier).toBe("pro");
    expect(await kindling.read({ token: id })).toMatchObject({ userId: id, reason: null, flags: { tier: "pro" } });
    kindling.close();
  });

  it("gives a write the time of a writer, not that of a read", async () => {
    const id = user();
    const kindling = createKindling({ definitions, url, token: writeToken, timeoutMs: 1 });
    expect((await kindling.setProperties(id, { plan_tier: "pro" })).flags.tier).toBe("pro");
  });

  it("refuses a write without the scope, and with a function for the token that throws, naming no secret", async () => {
    const reading = createKindling({ definitions, url, token });
    await expect(reading.setProperties(user(), { a: 1 })).rejects.toMatchObject({
      code: "service_unauthorized",
      message: expect.stringContaining("write"),
    });
    const failing = createKindling({ definitions, url, token: () => Promise.reject(new TypeError("secret")) });
    const error = await failing.setProperties(user(), { a: 1 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "service_unauthorized", message: expect.stringContaining("threw TypeError") });
    expect(inspect(error)).not.toContain("secret");
  });

  it("has, by its type, the methods that its options make possible", () => {
    const reads = createKindling({ definitions, redis });
    const verifies = createKindling({ definitions, redis, verify });
    const writes = createKindling({ definitions, url, token });
    const all = createKindling({ definitions, redis, verify, url, token });
    kindlingHono({ kindling: verifies });
    kindlingHono({ kindling: all });
    type Tier = "free" | "pro" | "enterprise";
    expectTypeOf<Awaited<ReturnType<typeof all.get>>["flags"]["tier"]>().toEqualTypeOf<Tier>();
    expectTypeOf<Awaited<ReturnType<typeof all.read>>["flags"]["tier"]>().toEqualTypeOf<Tier>();
    expectTypeOf<Awaited<ReturnType<typeof writes.setProperties>>["flags"]["tier"]>().toEqualTypeOf<Tier>();
    expect([reads, verifies, writes, all].map((kindling) => ["read" in kindling, "setProperties" in kindling])).toEqual(
      [
        [false, false],
        [true, false],
        [false, true],
        [true, true],
      ],
    );
    // @ts-expect-error nothing verifies tokens
    expect(() => kindlingHono({ kindling: reads })).not.toThrow();
    // @ts-expect-error no server is known
    expect(verifies.setProperties).toBeUndefined();
    // @ts-expect-error a misspelt option
    createKindling({ definitions, redis, cahce: {} }).close();
    // @ts-expect-error a server without a token
    createKindling({ definitions, redis, url }).close();
  });
});

describe("a service that does not answer as it should", () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  const ask = async (listener: RequestListener, given = token, fetch = globalThis.fetch) => {
    server = createServer(listener).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const errors: KindlingError[] = [];
    const kindling = createKindling({
      definitions,
      url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
      token: given,
      timeoutMs: 200,
      wait: 0,
      fetch,
      onError: (error) => errors.push(error),
    });
    const result = await kindling.get(testUser(1));
    const many = await kindling.getMany([testUser(1)]);
    expect(many).toEqual([{ ...result, age: result.age === null ? null : expect.any(Number) }]);
    return { result, codes: [...new Set(errors.map(({ code }) => code))], text: errors.map(String).join() };
  };

  const denied = {
    flags: { onboarded: false, tier: "free", region: null, admin: false, suspended: true },
    status: "unavailable",
    source: "defaults",
    fetchedAt: null,
    age: null,
    denied: ["suspended"],
  };

  const answer =
    (status: number, body: string, headers = {}): RequestListener =>
    (_request, response) =>
      response.writeHead(status, headers).end(body);

  /** To an answer that would be taken. */
  const redirecting: RequestListener = (request, response) => {
    const body = { ...denied, status: "present", source: "record", age: 1, fetchedAt: 1, denied: [] };
    if (request.url === "/elsewhere") response.end(JSON.stringify({ ...body, users: { [testUser(1)]: body } }));
    else response.writeHead(302, { location: "/elsewhere" }).end();
  };

  it.each<[string, RequestListener, string[]]>([
    ["refuses the token", answer(401, "{}"), ["service_unauthorized"]],
    ["refuses the scope", answer(403, "{}"), ["service_unauthorized"]],
    ["has enough", answer(429, "{}"), ["too_many_requests"]],
    ["fails", answer(503, "down"), ["service_unavailable"]],
    ["has no such route", answer(404, "{}"), ["service_unavailable"]],
    ["redirects", redirecting, ["service_unavailable"]],
    ["sends no JSON", answer(200, "<html>"), ["service_unavailable"]],
    ["sends another JSON", answer(200, '{"flags":[],"users":[]}'), []],
    ["hangs", () => undefined, ["service_unavailable"]],
    ["hangs up", (request) => request.socket.destroy(), ["service_unavailable"]],
  ])("gives defaults and deny values if it %s", async (_what, listener, codes) => {
    const asked = await ask(listener);
    expect(asked.result).toEqual(denied);
    expect(asked.codes).toEqual(codes);
    expect(asked.text).not.toContain(token);
  });

  it.each([
    ["Node.js", globalThis.fetch, "a redirect (status 302)"],
    ["Cloudflare Workers", workersFetch(), "a redirect (status 302)"],
    ["browsers", browserFetch, "a redirect:"],
  ])("follows no redirect and says so, with the fetch of %s", async (_where, fetch, words) => {
    const asked = await ask(redirecting, token, fetch);
    expect(asked.result).toEqual(denied);
    expect(asked.text).toContain(words);
  });

  it("gives defaults and deny values with a token that no header can carry, and does not repeat it", async () => {
    const asked = await ask(answer(200, "{}"), "secret\nvalue");
    expect(asked.result).toEqual(denied);
    expect(asked.text).not.toContain("secret");
  });

  it.each<[string, () => void]>([
    [
      "throws",
      () => {
        throw new Error("broken");
      },
    ],
    ["rejects", () => Promise.reject(new Error("broken"))],
  ])("gives defaults and deny values if onError %s, after one call of it", async (_what, fault) => {
    server = createServer(answer(503, "down")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    let calls = 0;
    const kindling = createKindling({
      definitions,
      url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
      token,
      onError: () => {
        calls += 1;
        return fault();
      },
    });
    expect(await kindling.get(testUser(1), { wait: 0 })).toEqual(denied);
    expect(calls).toBe(1);
  });

  it("does not wait for a token longer than for an answer", async () => {
    const never = () => new Promise<string>(() => undefined);
    const codes: string[] = [];
    const reader = createKindling({
      definitions,
      url: "http://127.0.0.1:9",
      token: never,
      timeoutMs: 20,
      wait: 0,
      onError: ({ code }) => codes.push(code),
    });
    expect(await reader.get(testUser(1))).toMatchObject({ status: "unavailable", denied: ["suspended"] });
    expect(codes).toEqual(["service_unavailable"]);
  });

  it("answers the others if the answer about one of many users nests too deep to be copied", async () => {
    const settings = defineFlags({ settings: (): unknown => "none" });
    const answer = (value: string) =>
      `{"flags":{"settings":${value}},"status":"present","source":"record","fetchedAt":1,"age":1,"denied":[]}`;
    const deep = '{"a":'.repeat(9_000) + 1 + "}".repeat(9_000);
    const body = `{"users":{"${testUser(1)}":${answer('"own"')},"${testUser(2)}":${answer(deep)}}}`;
    const fetch = async () => new Response(body);
    const reader = createKindling({ definitions: settings, url: "http://127.0.0.1:9", token, fetch });
    expect(await reader.getMany([testUser(1), testUser(2)])).toMatchObject([
      { status: "present", flags: { settings: "own" } },
      { status: "unavailable", flags: { settings: "none" } },
    ]);
  });

  it("asks for no time that the service refuses", async () => {
    const paths: string[] = [];
    const reader = createKindling({
      definitions,
      url: "http://127.0.0.1:9",
      token,
      timeoutMs: Number.POSITIVE_INFINITY,
      fetch: async (path) => {
        paths.push(String(path).split("?")[1] ?? "");
        return Response.json({ ...denied, status: "missing" });
      },
    });
    for (const [maxAge, wait] of [
      [1e15, Number.POSITIVE_INFINITY],
      [Number.POSITIVE_INFINITY, -5_000],
      [-1, Number.NaN],
    ]) {
      expect(await reader.get(testUser(1), { maxAge, wait } as object)).toMatchObject({ status: "missing" });
    }
    expect(paths).toEqual(["maxAge=999999999999&wait=10000", "wait=0", "maxAge=0&wait=0"]);
  });

  it("applies its own rules to an answer of other definitions", async () => {
    const body = {
      flags: { tier: "gold", onboarded: true, more: 1 },
      status: "present",
      source: "record",
      fetchedAt: 1,
      age: 5,
      denied: ["more"],
    };
    const { result } = await ask((request, response) => {
      response.end(JSON.stringify(request.method === "POST" ? { users: { [testUser(1)]: body } } : body));
    });
    expect(result).toMatchObject({ flags: { tier: "free", onboarded: true, suspended: true }, denied: ["suspended"] });
    expect(result.flags).not.toHaveProperty("more");
  });

  it("denies what a service of older definitions took from a token, whose age it does not tell", async () => {
    const flags = { tier: "pro", suspended: false };
    const body = { flags, status: "missing", source: "claims", fetchedAt: null, age: null, denied: [] };
    const { result } = await ask((request, response) => {
      response.end(JSON.stringify(request.method === "POST" ? { users: { [testUser(1)]: body } } : body));
    });
    expect(result).toMatchObject({ flags: { tier: "pro", suspended: true }, denied: ["suspended"] });
  });

  it("denies a flag that became older than its own limit on the way", async () => {
    const body = {
      flags: { suspended: false },
      status: "present",
      source: "record",
      fetchedAt: 1,
      // Younger than the limit when it was sent.
      age: 3_600_000 - 5,
      denied: [],
    };
    server = createServer((_request, response) => {
      setTimeout(() => response.end(JSON.stringify(body)), 20);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const kindling = createKindling({
      definitions,
      url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
      token,
    });
    expect(await kindling.get(testUser(1))).toMatchObject({ flags: { suspended: true }, denied: ["suspended"] });
  });
});

describe("many users over HTTP", () => {
  // Last: the refreshes of all these strangers would delay those of other tests.
  it("answers many users, more than one request holds, in the order asked", async () => {
    const present = user({ plan_tier: "enterprise" });
    await overHttp.get(present, { maxAge: 0, wait: 5_000 });
    const ids = [...Array.from({ length: 600 }, (_, n) => testUser(10_000 + n)), "not an id", present, present];
    // On a busy machine an answer can come too late, which is `unavailable`.
    const results = await until(async () => {
      const answers = await overHttp.getMany(ids);
      expect(new Set(answers.slice(0, 601).map(({ status }) => status))).toEqual(new Set(["missing"]));
      return answers;
    });
    expect(results).toHaveLength(ids.length);
    expect(results.slice(601).map(({ flags }) => flags.tier)).toEqual(["enterprise", "enterprise"]);
    expect(results[601]).not.toBe(results[602]);
    expect(await overHttp.getMany([])).toEqual([]);
  });
});
