import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis as UpstashRedis } from "@upstash/redis";
import { type Cluster, Redis } from "ioredis";
import { createReader, defineFlags, fresh, property, type ReaderRedis } from "kindling";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";

const context = useRedis();
const definitions = defineFlags({ tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }) });
const recordOf = (tier: string, fetchedAt: number) =>
  JSON.stringify({ flags: { tier }, status: "present", fetchedAt, ticket: 1, schema: definitions.schema });
const store = (n: number, tier: string, fetchedAt: number) =>
  context.redis.set(context.keys.flags(testUser(n)), recordOf(tier, fetchedAt));
const requests = (urgency: "now" | "later") => context.redis.zrange(context.keys.refreshRequests[urgency], 0, -1);
const over = (redis: ReaderRedis) =>
  createReader({ redis, definitions, prefix: context.keys.prefix, timeoutMs: 5_000 });

/** What the adapter uses of node-redis 5, which is not installed here: camel-case commands and `sendCommand`. */
interface NodeRedis {
  get(key: string): Promise<string | null>;
  mGet(keys: string[]): Promise<(string | null)[]>;
  sendCommand(args: readonly string[]): Promise<unknown>;
}

/** The adapter of the README. */
function adapt(client: NodeRedis): ReaderRedis {
  return {
    get: (key) => client.get(key),
    mget: (keys) => client.mGet(keys),
    zadd: (key, ...args) => client.sendCommand(["ZADD", key, ...args.map(String)]),
  };
}

/** Runs the commands of node-redis over the test's connection. */
function nodeRedis(redis: Redis): NodeRedis {
  return {
    get: (key) => redis.get(key),
    mGet: (keys) => redis.mget(keys),
    sendCommand: ([command = "", ...args]) => redis.call(command, ...args),
  };
}

describe("@upstash/redis", () => {
  it("reads with automaticDeserialization: false, as the documentation says", async () => {
    // Upstash's REST interface: commands as JSON arrays, and their replies, in base64 if asked for.
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      const commands: [string, ...string[]][] = JSON.parse(body);
      const encode = (reply: unknown): unknown =>
        Array.isArray(reply)
          ? reply.map(encode)
          : typeof reply === "string" && request.headers["upstash-encoding"] === "base64"
            ? Buffer.from(reply).toString("base64")
            : reply;
      const replies = commands.map(async ([name, ...args]) => ({
        result: encode(await context.redis.call(name, ...args)),
      }));
      response.end(JSON.stringify(await Promise.all(replies)));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await store(1, "pro", Date.now());
    const users = [testUser(1), testUser(2)];
    const statuses = async (automaticDeserialization: boolean) => {
      const redis = new UpstashRedis({ url, token: "token", automaticDeserialization, enableTelemetry: false });
      const reader = over({
        get: (key) => redis.get<string>(key),
        mget: (keys) => redis.mget<(string | null)[]>(keys),
      });
      const one = await reader.get(testUser(1));
      return [one, ...(await reader.getMany(users))].map(({ status }) => status);
    };
    expect(await statuses(false)).toEqual(["present", "present", "missing"]);
    // What the documentation warns of.
    expect(await statuses(true)).toEqual(["invalid", "invalid", "missing"]);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("ioredis", () => {
  let redis: Redis;

  beforeAll(() => {
    redis = new Redis(testRedisUrl());
  });

  afterAll(() => redis.disconnect());

  it("is assignable as it is", () => {
    const client: ReaderRedis = redis;
    expectTypeOf<Redis>().toExtend<ReaderRedis>();
    expectTypeOf<Pick<Cluster, "get" | "mget" | "zadd">>().toExtend<ReaderRedis>();
    expect(client).toBe(redis);
  });

  it("reads, requests refreshes and waits for commits", async () => {
    await store(1, "free", 1_000);
    const reader = over(redis);
    const before = Date.now();
    const reading = reader.get(testUser(1), { maxAge: 60_000, wait: 10_000 });
    await until(async () => expect(await requests("now")).toEqual([testUser(1)]));
    await store(1, "pro", before);
    await context.redis.publish(context.keys.commits(testUser(1)), "2");
    expect(await reading).toMatchObject({ flags: { tier: "pro" }, status: "present" });
    reader.close();
  });
});

describe("node-redis through the adapter", () => {
  it("reads one user and several", async () => {
    await store(2, "pro", Date.now());
    const reader = over(adapt(nodeRedis(context.redis)));
    expect(await reader.get(testUser(2))).toMatchObject({ flags: { tier: "pro" }, status: "present" });
    const results = await reader.getMany([testUser(2), testUser(3)]);
    expect(results.map(({ status }) => status)).toEqual(["present", "missing"]);
  });

  it("requests a refresh and keeps the most demanding of several requests", async () => {
    await store(4, "free", 1_000);
    const reader = over(adapt(nodeRedis(context.redis)));
    const score = () => context.redis.zscore(context.keys.refreshRequests.later, testUser(4));
    await reader.get(testUser(4), { maxAge: 10 });
    await until(async () => expect(Number(await score())).toBeGreaterThan(0));
    const demanding = await score();
    await reader.get(testUser(4), { maxAge: 3_600_000 });
    await reader.getMany([testUser(4)]);
    expect(await score()).toBe(demanding);
  });

  it("does not wait, as it has no second connection", async () => {
    await store(5, "free", 1_000);
    const reader = over(adapt(nodeRedis(context.redis)));
    const answer = await reader.get(testUser(5), { maxAge: 10, wait: 60_000 });
    expect(answer).toMatchObject({ flags: { tier: "free" }, status: "present" });
    expect(await requests("now")).toContain(testUser(5));
  });
});

describe("a client that can do less", () => {
  const strict = defineFlags({
    tier: fresh(property.string("plan_tier", { default: "free" }), { maxAge: 10, whenOlder: "deny", value: "none" }),
  });
  const readOnly = (): ReaderRedis => ({
    get: (key) => context.redis.get(key),
    mget: (keys) => context.redis.mget(keys),
  });
  const denying = (redis: ReaderRedis) =>
    createReader({ redis, definitions: strict, prefix: context.keys.prefix, timeoutMs: 5_000, wait: 60_000 });
  const denied = { flags: { tier: "none" }, denied: ["tier"], status: "present" };

  beforeAll(() => store(6, "pro", 1_000));

  it("reads and denies at once without zadd and duplicate", async () => {
    expect(await denying(readOnly()).get(testUser(6))).toMatchObject(denied);
  });

  it("reads those of many users who can be read, without mget", async () => {
    const redis: ReaderRedis = {
      get: async (key) => (key.includes(testUser(7)) ? Promise.reject(new Error("CLUSTERDOWN")) : recordOf("pro", 1)),
    };
    expect(await over(redis).getMany([testUser(6), testUser(7), testUser(8)])).toMatchObject([
      { flags: { tier: "pro" }, status: "present" },
      { flags: { tier: "free" }, status: "unavailable" },
      { flags: { tier: "pro" }, status: "present" },
    ]);
  });

  it.each<[string, () => never]>([
    [
      "throws",
      () => {
        throw new Error("no second connection");
      },
    ],
    ["returns nothing", () => undefined as never],
    ["returns a client without Pub/Sub", () => ({ on: () => undefined, disconnect: () => undefined }) as never],
  ])("answers when duplicate %s", async (_what, duplicate) => {
    const reader = denying({ ...readOnly(), zadd: async () => 1, duplicate });
    expect(await reader.get(testUser(6))).toMatchObject(denied);
    expect(await reader.get(testUser(6))).toMatchObject(denied);
    reader.close();
  });
});

describe("refresh requests", () => {
  it("are not made for malformed user ids, which are not waited for either", async () => {
    const calls: unknown[] = [];
    const reader = over({
      get: async () => null,
      mget: async (keys) => keys.map(() => null),
      zadd: async (...args) => calls.push(args),
      duplicate: (options) => context.redis.duplicate(options),
    });
    expect(await reader.get("nobody", { wait: 60_000 })).toMatchObject({ status: "missing" });
    await reader.getMany(["nobody", "kp_../x", ""]);
    expect(calls).toEqual([]);
    await reader.getMany(["nobody", testUser(7)]);
    expect(calls).toEqual([[context.keys.refreshRequests.later, "GT", expect.any(Number), testUser(7)]]);
    reader.close();
  });
});
