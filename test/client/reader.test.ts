import { Redis } from "ioredis";
import { createReader, defineFlags, fresh, property, type ReaderRedis } from "kindling";
import { blankProfile } from "kindling/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import definitions from "../../kindling.flags.ts";
import { createRequestRefresh } from "../../packages/kindling/src/reader/request-refresh.ts";
import { createRecords } from "../../src/redis/records.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";

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

  it("counts a record from more than 5 s ahead as that old, so that it does not look young", async () => {
    const rule = { maxAge: 60_000, whenOlder: "deny", value: "none" } as const;
    const strict = defineFlags({ tier: fresh(property.string("tier", { default: "free" }), rule) });
    const read = async (at: number) => {
      const options = { redis: context.redis, definitions: strict, prefix: context.keys.prefix, wait: 0 };
      const { age, denied } = await createReader({ ...options, now: () => at }).get(testUser(1));
      return { age, denied };
    };
    // Fetched at 4,000 by Redis' clock.
    expect(await read(4_000 - 3_000)).toEqual({ age: 0, denied: [] });
    expect(await read(4_000 - 30_000)).toEqual({ age: 30_000, denied: [] });
    expect(await read(4_000 - 3_600_000)).toEqual({ age: 3_600_000, denied: ["tier"] });
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
    '{"flags":{},"status":"odd","fetchedAt":1,"ticket":1,"schema":""}',
    '{"flags":[],"status":"present","fetchedAt":1,"ticket":1,"schema":""}',
    '{"flags":{},"status":"present","fetchedAt":1e999,"ticket":1,"schema":""}',
    '{"flags":{},"status":"present","fetchedAt":1e18,"ticket":1,"schema":""}',
    '{"flags":{},"status":"present","fetchedAt":1,"ticket":1,"schema":{"toString":1}}',
  ])("returns defaults and the status invalid for the corrupt record %s", async (text) => {
    await context.redis.set(context.keys.flags(testUser(4)), text);
    expect(await reader().get(testUser(4))).toMatchObject({ flags: definitions.defaults, status: "invalid" });
  });

  it("takes a record that nests too deep to be copied for a corrupt one", async () => {
    const settings = '{"a":'.repeat(9_000) + 1 + "}".repeat(9_000);
    const text = `{"flags":{"settings":${settings}},"status":"present","fetchedAt":10000,"ticket":1,"schema":"abc"}`;
    await context.redis.set(context.keys.flags(testUser(4)), text);
    const deep = defineFlags({ settings: (): unknown => ({}) });
    const caching = createReader({ redis: context.redis, definitions: deep, prefix: context.keys.prefix, cache: {} });
    // The second read could answer from memory.
    for (const _ of [1, 2])
      expect(await caching.get(testUser(4))).toMatchObject({ flags: { settings: {} }, status: "invalid" });
    caching.close();
  });

  it("takes another type of value for a corrupt record, which a refresh repairs", async () => {
    await context.redis.zadd(context.keys.flags(testUser(9)), 1, "x");
    expect(await reader().get(testUser(9))).toMatchObject({ flags: definitions.defaults, status: "invalid" });
    const later = context.keys.refreshRequests.later;
    await until(async () => expect(await context.redis.zscore(later, testUser(9))).not.toBeNull());
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
    const batches: string[][] = [];
    const counting: ReaderRedis = {
      get: () => expect.unreachable("Many users are read with MGET."),
      mget: (keys) => {
        batches.push(keys);
        return context.redis.mget(keys);
      },
    };
    const answers = await reader(counting).getMany([testUser(2), testUser(1), testUser(3)]);
    expect(answers.map(({ status }) => status)).toEqual(["deleted", "present", "missing"]);
    expect(batches).toHaveLength(1);
    expect(await reader(counting).getMany([])).toEqual([]);
    expect(batches).toHaveLength(1);
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

describe("a flag that is denied when its own value is unknown", () => {
  const failClosed = defineFlags({
    suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
    tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  });
  const strict = (redis: ReaderRedis = context.redis, timeoutMs = 5_000) =>
    createReader({ redis, definitions: failClosed, prefix: context.keys.prefix, now, timeoutMs, wait: 0 });
  const denied = { flags: { suspended: true }, denied: ["suspended"] };
  const store = (flags: object) =>
    context.redis.set(context.keys.flags(testUser(6)), JSON.stringify({ flags, status: "present", ...stamp }));

  it("is denied for a deleted user", async () => {
    expect(await strict().get(testUser(2))).toMatchObject({ status: "deleted", ...denied });
    expect(await strict().getMany([testUser(2)])).toMatchObject([{ status: "deleted", ...denied }]);
  });

  it("is denied for a missing user, a corrupt record and an unavailable Redis", async () => {
    expect(await strict().get(testUser(3))).toMatchObject({ status: "missing", ...denied });
    await context.redis.set(context.keys.flags(testUser(4)), "not a record");
    expect(await strict().get(testUser(4))).toMatchObject({ status: "invalid", ...denied });
    const silent: ReaderRedis = { get: () => new Promise(() => undefined), mget: () => new Promise(() => undefined) };
    expect(await strict(silent, 20).get(testUser(1))).toMatchObject({ status: "unavailable", ...denied });
  });

  it("is denied by a young record that does not hold it, or holds a value it cannot have", async () => {
    await store({ tier: "pro" });
    expect(await strict().get(testUser(6))).toMatchObject({ ...denied, flags: { tier: "pro", suspended: true } });
    expect(await strict().get(testUser(6), { maxAge: 0 })).toMatchObject(denied);
    await store({ tier: "pro", suspended: "no" });
    expect(await strict().get(testUser(6))).toMatchObject(denied);
  });

  it("is answered from a young record that holds it", async () => {
    await store({ tier: "pro", suspended: false });
    expect(await strict().get(testUser(6))).toMatchObject({ flags: { suspended: false }, denied: [] });
  });
});

describe("refresh requests", () => {
  const recording = (answer: () => Promise<unknown>) => {
    const requests: unknown[][] = [];
    const redis: ReaderRedis = {
      get: async () => null,
      mget: async (keys) => keys.map(() => null),
      zadd: async (_key, _greater, ...members) => {
        requests.push(members);
        return answer();
      },
    };
    return { requests, reader: reader(redis) };
  };

  it("are not paused by an array, an object or another value that is not a user id", async () => {
    const { requests, reader: subject } = recording(async () => 1);
    for (const id of [["kp_a", "kp_b"], {}, null, 7, "a b", "kp_../x"]) {
      expect(await subject.get(id as never, { maxAge: 0 })).toMatchObject({ flags: definitions.defaults });
    }
    expect(requests).toEqual([]);
    await subject.get(testUser(3), { maxAge: 0 });
    expect(requests).toHaveLength(1);
  });

  it("are not asked of Redis for a value that no id can be, which takes the place of nobody in a batch", async () => {
    const text = { toString: () => expect.unreachable("A value is not turned into an id.") };
    const strange = [[testUser(1)], text, Symbol("id"), null, "kp_".padEnd(1_000_000, "x")] as never[];
    for (const id of strange) expect(await reader().get(id, null as never)).toMatchObject({ status: "missing" });
    const answers = await reader().getMany([...strange, testUser(1)]);
    expect(answers.map(({ status }) => status)).toEqual([...strange.map(() => "missing"), "present"]);
  });

  it("are not needed for a visitor, whose id and claims an app has not", async () => {
    for (const claims of [null, undefined, {}, { roles: ["admin"] }, "claims"]) {
      const visitor = await reader().get(undefined as never, { claims } as never);
      expect(visitor).toMatchObject({ status: "missing", source: "defaults", flags: definitions.defaults });
    }
  });

  it("are paused only after Redis denied the permission", async () => {
    const failing = recording(() => Promise.reject(new Error("LOADING Redis is loading the dataset in memory")));
    for (let read = 0; read < 3; read += 1) await failing.reader.get(testUser(3), { maxAge: 0, wait: 1 });
    expect(failing.requests).toHaveLength(3);
    const refused = recording(() => Promise.reject(new Error("NOPERM this user has no permissions to run 'zadd'")));
    for (let read = 0; read < 3; read += 1) await refused.reader.get(testUser(3), { maxAge: 0, wait: 1 });
    expect(refused.requests).toHaveLength(1);
    let time = 10_000_000;
    let asked = 0;
    const zadd = () => {
      asked += 1;
      return Promise.reject(new Error("NOPERM"));
    };
    const request = createRequestRefresh({
      redis: { get: async () => null, zadd },
      keys: context.keys,
      timeoutMs: 250,
      now: () => time,
    });
    await request([testUser(3)], 0, "later");
    time -= 3_600_000;
    await request([testUser(3)], 0, "later");
    expect(asked).toBe(2);
  });
});

describe("a read that waits for a refresh", () => {
  it("finds a commit whose message was lost", async () => {
    const young = JSON.stringify({ flags: pro, status: "present", ...stamp, fetchedAt: 9_990 });
    let looks = 0;
    const redis: ReaderRedis = {
      // The commit follows the second look, and its message never arrives.
      get: async () => (++looks <= 2 ? null : young),
      mget: async () => [],
      zadd: async () => 1,
      duplicate: () => ({
        on: () => undefined,
        subscribe: async () => 1,
        unsubscribe: async () => 1,
        disconnect: () => undefined,
      }),
    };
    expect(await reader(redis).get(testUser(1), { maxAge: 100, wait: 30 })).toMatchObject({
      status: "present",
      age: 10,
    });
  });
});

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

describe("reader.stats", () => {
  it("counts answers by status, and those with a denied flag", async () => {
    const strict = defineFlags({
      suspended: fresh((profile) => profile.isSuspended, { maxAge: 1_000, whenOlder: "deny", value: true }),
    });
    const users = [testUser(1), testUser(2), testUser(3)];
    const counting = createReader({
      redis: context.redis,
      definitions: strict,
      prefix: context.keys.prefix,
      now,
      wait: 0,
    });
    const before = counting.stats();
    await counting.get(users[0] ?? "");
    await counting.getMany(users);
    expect(counting.stats()).toEqual({
      answers: { present: 2, missing: 1, deleted: 1, invalid: 0, unavailable: 0 },
      cached: 0,
      denied: 4,
    });
    expect(before.answers.present).toBe(0);
    const broken = createReader({
      redis: { get: async () => "{", mget: () => Promise.reject(new Error("down")) },
      definitions,
    });
    await broken.get(testUser(1));
    await broken.getMany(users);
    expect(broken.stats()).toEqual({
      answers: { present: 0, missing: 0, deleted: 0, invalid: 1, unavailable: 3 },
      cached: 0,
      denied: 0,
    });
  });
});
