import { Redis } from "ioredis";
import { createReader, type ReaderRedis } from "kindling";
import { blankProfile } from "kindling/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import definitions from "../../kindling.flags.ts";
import { createRecords } from "../../src/redis/records.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

// Database 0: the read-only user is not allowed to SELECT another.
const context = useRedis(0);
const now = () => 10_000;
const reader = (redis: ReaderRedis = context.redis, timeoutMs = 250) =>
  createReader({ redis, definitions, prefix: context.keys.prefix, now, timeoutMs, wait: 0 });
const stamp = { fetchedAt: 4_000, ticket: 7, schema: definitions.schema };
const pro = { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: true };

beforeAll(async () => {
  const records = createRecords({ ...context, tombstoneTtlMs: 60_000 });
  await records.commit({ flags: pro, status: "present", ...stamp }, blankProfile(testUser(1)));
  await records.bury(testUser(2), { flags: definitions.defaults, status: "deleted", ...stamp });
});

describe("createReader", () => {
  it("returns a user's flags and their age", async () => {
    expect(await reader().get(testUser(1))).toEqual({
      flags: pro,
      status: "present",
      source: "record",
      fetchedAt: 4_000,
      age: 6_000,
      denied: [],
    });
  });

  it("returns defaults and the status deleted for a tombstone", async () => {
    expect(await reader().get(testUser(2))).toEqual({
      flags: definitions.defaults,
      status: "deleted",
      source: "defaults",
      fetchedAt: 4_000,
      age: 6_000,
      denied: [],
    });
  });

  it("returns defaults and the status missing without a record", async () => {
    const missing = {
      flags: definitions.defaults,
      status: "missing",
      source: "defaults",
      fetchedAt: null,
      age: null,
      denied: [],
      complete: false,
    };
    expect(await reader().get(testUser(3))).toEqual(missing);
    expect(await reader().get("no such id {}\n")).toEqual(missing);
  });

  it("reports with a miss whether the store is complete", async () => {
    await context.redis.set(context.keys.complete, JSON.stringify({ since: 1 }));
    expect(await reader().get(testUser(3))).toMatchObject({ status: "missing", complete: true });
    await context.redis.del(context.keys.complete);
    expect(await reader().get(testUser(3))).toMatchObject({ status: "missing", complete: false });
  });

  it.each([
    "{",
    "null",
    '"x"',
    "{}",
    '{"flags":[1],"status":"present"}',
    '{"flags":{},"status":"odd","fetchedAt":1,"ticket":1}',
    '{"flags":[],"status":"present","fetchedAt":1,"ticket":1}',
    '{"flags":{},"status":"present","fetchedAt":1e999,"ticket":1}',
  ])("returns defaults and the status invalid for the corrupt record %s", async (text) => {
    await context.redis.set(context.keys.flags(testUser(4)), text);
    expect(await reader().get(testUser(4))).toMatchObject({ flags: definitions.defaults, status: "invalid" });
  });

  it("replaces values that do not fit the definitions by their defaults", async () => {
    const text = JSON.stringify({
      flags: { tier: "gold", onboarded: "true", region: "eu", old: 1 },
      status: "present",
      ...stamp,
    });
    await context.redis.set(context.keys.flags(testUser(5)), text);
    expect((await reader().get(testUser(5))).flags).toEqual({ ...definitions.defaults, region: "eu" });
  });

  it("infers the types of the flags", async () => {
    const { flags: values } = await reader().get(testUser(1));
    const tier: "free" | "pro" | "enterprise" = values.tier;
    const typed: { onboarded: boolean; region: string | null; admin: boolean; suspended: boolean } = values;
    expect([tier, typed.onboarded]).toEqual(["pro", true]);
  });

  it("reads many users with one MGET and keeps their order", async () => {
    const before = await calls("mget");
    const answers = await reader().getMany([testUser(2), testUser(1), testUser(3)]);
    expect(answers.map(({ status }) => status)).toEqual(["deleted", "present", "missing"]);
    expect(await calls("mget")).toBe(before + 1);
    expect(await reader().getMany([])).toEqual([]);
  });

  it("returns the status unavailable when Redis is down, silent or throws", async () => {
    const gone = new Redis({ port: 1, lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null });
    gone.on("error", () => undefined);
    expect(await reader(gone).get(testUser(1))).toMatchObject({ flags: definitions.defaults, status: "unavailable" });
    const silent: ReaderRedis = { get: () => new Promise(() => undefined), mget: () => new Promise(() => undefined) };
    expect(await reader(silent, 20).get(testUser(1))).toMatchObject({ status: "unavailable" });
    expect(await reader(silent, 20).getMany([testUser(1)])).toMatchObject([{ status: "unavailable" }]);
    const broken: ReaderRedis = {
      get: () => {
        throw new Error("no client");
      },
      mget: () => Promise.reject(new Error("no client")),
    };
    expect(await reader(broken).get(testUser(1))).toMatchObject({ status: "unavailable" });
    expect(await reader(broken).getMany([testUser(1)])).toMatchObject([{ status: "unavailable" }]);
    gone.disconnect();
  });
});

async function calls(command: string): Promise<number> {
  const stats = await context.redis.info("commandstats");
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

describe("a Redis user that can only GET flags", () => {
  const user = "app";
  let app: Redis;

  beforeAll(async () => {
    await context.redis.call("ACL", "SETUSER", user, "reset", "on", ">pw", `%R~${context.keys.prefix}:flags:*`, "+get");
    const { host, port } = context.redis.options;
    app = new Redis({
      host: host ?? "127.0.0.1",
      port: port ?? 6379,
      username: user,
      password: "pw",
      enableReadyCheck: false,
      maxRetriesPerRequest: 0,
    });
  });

  afterAll(async () => {
    app.disconnect();
    await context.redis.call("ACL", "DELUSER", user);
  });

  it("can read flags through createReader", async () => {
    expect(await reader(app).get(testUser(1))).toMatchObject({ status: "present", flags: pro });
  });

  it("is denied every other command and key", async () => {
    const { keys } = context;
    const forbidden: [string, ...string[]][] = [
      ["GET", keys.profile(testUser(1))],
      ["GET", keys.ledger],
      ["GET", keys.accessToken],
      ["SET", keys.flags(testUser(1)), "x"],
      ["DEL", keys.flags(testUser(1))],
      ["MGET", keys.flags(testUser(1))],
      ["SCAN", "0"],
      ["KEYS", "*"],
      ["EVAL", "return 1", "0"],
      ["CONFIG", "GET", "*"],
    ];
    for (const [command, ...args] of forbidden) {
      await expect(app.call(command, ...args), command).rejects.toThrow(/NOPERM|No permissions/);
    }
  });
});
