import { Redis } from "ioredis";
import {
  type CacheOptions,
  createReader,
  createWriter,
  defineFlags,
  fresh,
  permission,
  property,
  type ReaderRedis,
} from "kindling";
import { blankProfile, type FlagsRecord } from "kindling/contract";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createMemory } from "../../packages/kindling/src/reader/memory.ts";
import { createRecords } from "../../src/redis/records.ts";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";

const context = useRedis();
const definitions = defineFlags({
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: permission("admin:access", { in: "current" }),
  teams: ({ organizations }) => organizations.map(({ code }) => code),
});
const user = testUser(1);
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

let ticket = 1;
async function commit(
  tier: string,
  values: { id?: string; fetchedAt?: number; accountAt?: number; ticket?: number } = {},
) {
  const { id = user, fetchedAt = Date.now(), accountAt } = values;
  ticket = values.ticket ?? ticket + 1;
  const records = createRecords({ ...context, tombstoneTtlMs: 60_000 });
  const profile = {
    ...blankProfile(id),
    properties: { plan_tier: tier },
    organizations: [{ code: "org_a", roles: [], permissions: [{ id: "1", key: "admin:access" }] }],
  };
  const { flags, organizations } = definitions.derive(profile);
  await records.commit(
    {
      flags,
      organizations,
      status: "present",
      fetchedAt,
      ...(accountAt !== undefined && { accountAt }),
      ticket,
      schema: definitions.schema,
    },
    profile,
  );
  return ticket;
}

/** A caching reader that counts the commands it sends. */
function open(cache: CacheOptions = {}, options: { now?: () => number } = {}) {
  const client = new Redis(testRedisUrl());
  const gets: string[] = [];
  const redis: ReaderRedis = {
    get: (key) => {
      gets.push(key);
      return client.get(key);
    },
    mget: (keys) => client.mget(keys),
    zadd: (key, ...args) => client.zadd(key, ...args),
    duplicate: (given) => client.duplicate(given),
  };
  const { now } = options;
  const reader = createReader({ redis, definitions, prefix: context.keys.prefix, cache, ...(now && { now }) });
  closing.push(() => {
    reader.close();
    client.disconnect();
  });
  return { reader, gets, client };
}

/** Reads until the answer comes from memory. */
const warm = (reader: ReturnType<typeof open>["reader"], id = user) =>
  until(async () => expect(await reader.get(id)).toHaveProperty("cached", true));

beforeAll(() => commit("free"));

describe("a reader with a cache", () => {
  it("answers from memory, and otherwise as without one", async () => {
    await commit("pro", { fetchedAt: Date.now() - 1_000 });
    const { reader, gets } = open();
    const first = await reader.get(user);
    expect(first).not.toHaveProperty("cached");
    await warm(reader);
    const before = gets.length;
    const { cached, age, ...rest } = await reader.get(user);
    expect(gets).toHaveLength(before);
    expect({ ...rest, age: first.age }).toEqual(first);
    expect(cached).toBe(true);
    expect(age).toBeGreaterThanOrEqual(1_000);
  });

  it("sees commits of other processes", async () => {
    await commit("free");
    const { reader } = open();
    await warm(reader);
    await commit("pro");
    await until(async () => expect((await reader.get(user)).flags.tier).toBe("pro"));
    await warm(reader);
    const records = createRecords({ ...context, tombstoneTtlMs: 60_000 });
    ticket += 1;
    await records.bury(user, { flags: {}, status: "deleted", fetchedAt: Date.now(), ticket, schema: "" });
    await until(async () =>
      expect(await reader.get(user)).toMatchObject({ status: "deleted", flags: { tier: "free" } }),
    );
  });

  it("sees flags that were derived again under the same ticket", async () => {
    await commit("free");
    const { reader } = open();
    await warm(reader);
    const records = createRecords({ ...context, tombstoneTtlMs: 60_000 });
    const { flags: record } = await records.read(user);
    if (record === undefined) throw new Error("There is no record.");
    await records.replaceFlags([{ userId: user, record, flags: { ...record.flags, tier: "pro" }, schema: "x" }]);
    await until(async () => expect((await reader.get(user)).flags.tier).toBe("pro"));
  });

  it("computes ages from the start of the fetch, and asks Redis for what is too old", async () => {
    const start = Date.now();
    let time = start;
    await commit("pro", { fetchedAt: start });
    const { reader, gets } = open({}, { now: () => time });
    await warm(reader);
    time = start + 42_000;
    expect(await reader.get(user)).toMatchObject({ age: 42_000, cached: true });
    const before = gets.length;
    expect(await reader.get(user, { maxAge: 41_999 })).not.toHaveProperty("cached");
    time = start + 300_001;
    expect(await reader.get(user)).toMatchObject({ age: 300_001, status: "present" });
    expect(gets).toHaveLength(before + 2);
    await until(async () =>
      expect(await context.redis.zscore(context.keys.refreshRequests.later, user)).not.toBe(null),
    );
  });

  it("requests a refresh once account fields and properties are older than softAge, not roles and plans", async () => {
    const start = Date.now();
    let time = start;
    await commit("pro", { fetchedAt: start - 1_000_000, accountAt: start });
    const { reader } = open({}, { now: () => time });
    await context.redis.del(context.keys.refreshRequests.later);
    const requested = () => context.redis.zscore(context.keys.refreshRequests.later, user);
    await warm(reader);
    time = start + 299_999;
    expect(await reader.get(user)).toMatchObject({ age: 1_299_999, cached: true });
    await reader.getMany([user]);
    expect(await requested()).toBe(null);
    time = start + 300_001;
    expect(await reader.get(user)).not.toHaveProperty("cached");
    await until(async () => expect(await requested()).not.toBe(null));
  });

  it("never shares objects between answers", async () => {
    await commit("pro");
    const { reader } = open();
    await warm(reader);
    const { flags } = await reader.get(user);
    flags.tier = "free";
    flags.teams.push("org_x");
    expect((await reader.get(user)).flags).toMatchObject({ tier: "pro", teams: ["org_a"] });
  });

  it("reads each organization for itself", async () => {
    await commit("pro");
    const { reader } = open();
    await warm(reader);
    const admin = async (organization: string | null) => (await reader.get(user, { organization })).flags.admin;
    expect([await admin("org_a"), await admin("org_b"), await admin(null), await admin("org_a")]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    const claims = { sub: user, org_code: "org_a", iat: 1 };
    expect(await reader.get(user, { claims })).toMatchObject({ flags: { admin: true }, cached: true });
    // Claims of another user say nothing; claims that are newer than the record can contradict it.
    expect(await reader.get(user, { claims: { ...claims, sub: testUser(9) } })).toMatchObject({
      flags: { admin: false },
    });
    const newer = { ...claims, iat: Math.ceil(Date.now() / 1000) + 60, permissions: [] };
    expect(await reader.get(user, { claims: newer })).not.toHaveProperty("cached");
  });

  it("keeps deny values of flags the record lacks", async () => {
    const strict = defineFlags({
      suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
    });
    await commit("pro");
    const client = new Redis(testRedisUrl());
    const options = { definitions: strict, prefix: context.keys.prefix, cache: {}, wait: 0 };
    const reader = createReader({ redis: client, ...options });
    closing.push(() => {
      reader.close();
      client.disconnect();
    });
    await until(async () => expect(await reader.get(user)).toHaveProperty("cached", true));
    expect(await reader.get(user)).toMatchObject({ flags: { suspended: true }, denied: ["suspended"] });
  });

  it("holds no more records than maxEntries and evicts those that are not used", async () => {
    for (const n of [11, 12, 13]) await commit("pro", { id: testUser(n) });
    const { reader, gets } = open({ maxEntries: 2 });
    for (const n of [11, 12]) await warm(reader, testUser(n));
    await reader.get(testUser(12));
    await reader.get(testUser(11));
    // Both were used: the older one gets its second chance, then the other.
    await warm(reader, testUser(13));
    const before = gets.length;
    const cached = await Promise.all([11, 12].map(async (n) => "cached" in (await reader.get(testUser(n)))));
    expect(cached.filter(Boolean)).toHaveLength(1);
    expect(gets).toHaveLength(before + 1);
  });

  it("keeps a record no longer than ttl, so that a key deleted by hand is noticed", async () => {
    await commit("pro", { id: testUser(14) });
    const { reader } = open({ ttl: 100 });
    await warm(reader, testUser(14));
    await context.redis.del(context.keys.flags(testUser(14)));
    await until(async () => expect(await reader.get(testUser(14))).toMatchObject({ status: "missing" }));
  });

  it("answers synchronously what it can answer from memory", async () => {
    await commit("pro");
    const { reader, gets } = open();
    expect(reader.peek(user)).toBeUndefined();
    await warm(reader);
    const before = gets.length;
    expect(reader.peek(user, { organization: "org_a" })).toMatchObject({
      flags: { tier: "pro", admin: true },
      organization: "org_a",
      cached: true,
    });
    const { answers, cached } = reader.stats();
    reader.peek(user);
    await reader.get(user);
    expect(reader.stats()).toMatchObject({ answers: { present: answers.present + 2 }, cached: cached + 2 });
    expect(reader.peek(user, { maxAge: -1 })).toBeUndefined();
    expect(reader.peek(user, { atLeast: ticket + 1 })).toBeUndefined();
    expect(reader.peek(testUser(99))).toBeUndefined();
    expect(gets).toHaveLength(before);
  });

  it("is off by default", async () => {
    const duplicate = vi.fn();
    const reader = createReader({
      redis: { get: (key) => context.redis.get(key), mget: async () => [], duplicate },
      definitions,
      prefix: context.keys.prefix,
    });
    await reader.get(user);
    await reader.get(user);
    expect(reader.peek(user)).toBeUndefined();
    expect(duplicate).not.toHaveBeenCalled();
  });

  it("does not answer from memory after close", async () => {
    await commit("pro");
    const { reader } = open();
    await warm(reader);
    reader.close();
    expect(await reader.get(user)).not.toHaveProperty("cached");
  });
});

describe("a client that cannot prove that it heard every commit", () => {
  const read = async (redis: ReaderRedis) => {
    const reader = createReader({ redis, definitions, prefix: context.keys.prefix, cache: { lease: 40 } });
    closing.push(() => reader.close());
    for (let n = 0; n < 20; n += 1) {
      expect(await reader.get(user)).not.toHaveProperty("cached");
      // Real time, for two and a half leases: whatever the client lacks shows after one at the latest.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const plain = {
    get: (key: string) => context.redis.get(key),
    mget: (keys: string[]) => context.redis.mget(keys),
  };
  const subscriber = {
    on: () => undefined,
    subscribe: async () => 1,
    unsubscribe: async () => 1,
    disconnect: () => undefined,
  };

  it.each<[string, Partial<ReaderRedis>]>([
    ["has no duplicate", {}],
    [
      "throws",
      {
        duplicate: () => {
          throw new Error("no second connection");
        },
      },
    ],
    ["has no psubscribe", { duplicate: () => subscriber }],
    ["has no ping", { duplicate: () => ({ ...subscriber, psubscribe: async () => 1 }) }],
    [
      "is a cluster",
      {
        duplicate: () =>
          ({ ...subscriber, psubscribe: async () => 1, ping: async () => "PONG", isCluster: true }) as never,
      },
    ],
    [
      "is denied PSUBSCRIBE",
      {
        duplicate: () => ({
          ...subscriber,
          psubscribe: () => Promise.reject(new Error("NOPERM")),
          ping: async () => 1,
        }),
      },
    ],
    [
      "is denied PING",
      {
        duplicate: () => ({
          ...subscriber,
          psubscribe: async () => 1,
          ping: () => Promise.reject(new Error("NOPERM")),
        }),
      },
    ],
    [
      "gets no answer to PING",
      { duplicate: () => ({ ...subscriber, psubscribe: async () => 1, ping: () => new Promise(() => undefined) }) },
    ],
  ])("reads from Redis if it %s", async (_what, given) => {
    await commit("pro");
    await read({ ...plain, ...given });
  });
});

it("keeps no record whose ticket no commit can exceed", () => {
  const createEntry = ({ ticket }: FlagsRecord, readAt: number) => ({ ticket, readAt, used: false });
  const memory = createMemory({ createEntry, maxEntries: 10, ttlMs: 60_000, subscription: () => 1 });
  const record = (ticket: number): FlagsRecord => ({ flags: {}, status: "present", fetchedAt: 1, ticket, schema: "" });
  for (const [ticket, isKept] of [
    [2 ** 52 - 1, true],
    [2 ** 52, false],
    [1e300, false],
  ] as const) {
    memory.begin("kp_1")(record(ticket));
    expect(memory.get("kp_1", performance.now()) !== undefined).toBe(isKept);
  }
});

it("takes a lease that no timer can hold for the default", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  let pings = 0;
  const connection = { on: () => undefined, psubscribe: async () => 1, disconnect: () => undefined };
  const ping = async () => {
    pings += 1;
  };
  const reader = createReader({
    redis: { get: async () => null, duplicate: () => ({ ...connection, ping }) as never },
    definitions,
    cache: { lease: Number.POSITIVE_INFINITY },
  });
  reader.peek(user);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(pings).toBe(3);
  reader.close();
  vi.useRealTimers();
});

describe("a late answer", () => {
  /** A client whose GETs are answered only when the test says so. */
  function late(cache: CacheOptions = {}) {
    const client = new Redis(testRedisUrl(), { connectionName: context.keys.prefix });
    const answers: ((text: string | null) => void)[] = [];
    let isLate = false;
    const redis: ReaderRedis = {
      get: (key) => (isLate ? new Promise((resolve) => answers.push(resolve)) : client.get(key)),
      mget: (keys) => client.mget(keys),
      duplicate: (given) => client.duplicate(given),
    };
    const reader = createReader({ redis, definitions, prefix: context.keys.prefix, cache, timeoutMs: 5_000 });
    closing.push(() => {
      reader.close();
      client.disconnect();
    });
    const delay = (on: boolean) => {
      isLate = on;
    };
    return { reader, client, answers, delay };
  }
  const subject = testUser(20);
  const text = () => context.redis.get(context.keys.flags(subject));

  it("is not kept if a later ticket was heard of meanwhile", async () => {
    await commit("free", { id: subject });
    const { reader, answers, delay } = late();
    await warm(reader, subject);
    const old = await text();
    delay(true);
    const slow = reader.get(subject, { maxAge: -1 });
    await commit("pro", { id: subject });
    await until(() => expect(reader.peek(subject)).toBeUndefined());
    answers[0]?.(old);
    expect((await slow).flags.tier).toBe("free");
    delay(false);
    expect(reader.peek(subject)).toBeUndefined();
    expect((await reader.get(subject)).flags.tier).toBe("pro");
  });

  it("is not kept if it began under another subscription", async () => {
    await commit("free", { id: subject });
    const { reader, answers, delay } = late();
    await warm(reader, subject);
    const old = await text();
    delay(true);
    const slow = reader.get(subject, { maxAge: -1 });
    // The commit's message is lost with the connection.
    await killSubscribers();
    await commit("pro", { id: subject });
    delay(false);
    await until(async () => expect(await reader.get(testUser(1))).toHaveProperty("cached", true));
    answers[0]?.(old);
    await slow;
    expect(await reader.get(subject)).toMatchObject({ flags: { tier: "pro" } });
  });

  it("is not kept if another read got a later one, even if that was evicted since", async () => {
    await commit("free", { id: subject });
    const { reader, answers, delay } = late({ maxEntries: 1 });
    await warm(reader, testUser(1));
    const old = await text();
    delay(true);
    const slow = reader.get(subject);
    const quick = reader.get(subject);
    answers[1]?.(withTicket(old, +1));
    expect((await quick).flags.tier).toBe("pro");
    delay(false);
    await warm(reader, testUser(1));
    expect(reader.peek(subject)).toBeUndefined();
    answers[0]?.(old);
    expect((await slow).flags.tier).toBe("free");
    expect(reader.peek(subject)).toBeUndefined();
  });

  it("does not replace a later record, as that of a replica would", async () => {
    await commit("free", { id: subject });
    const { reader, answers, delay } = late();
    await warm(reader, subject);
    delay(true);
    const behind = reader.get(subject, { maxAge: -1 });
    answers[0]?.(withTicket(await text(), -1));
    expect((await behind).flags.tier).toBe("pro");
    expect(reader.peek(subject)).toMatchObject({ flags: { tier: "free" } });
    const unknown = reader.get(subject, { atLeast: ticket + 1 });
    answers[1]?.(await text());
    await unknown;
    expect(reader.peek(subject)).toBeUndefined();
  });
});

/** Returns a record with a ticket that differs by so much, and the tier pro. */
function withTicket(text: string | null, difference: number): string {
  const record = JSON.parse(text ?? "{}");
  return JSON.stringify({ ...record, ticket: record.ticket + difference, flags: { tier: "pro" } });
}

describe("a write through this process", () => {
  const subject = testUser(30);

  it("is never followed by a value from before it", async () => {
    await commit("free", { id: subject });
    // Deaf to messages: only the writer can tell.
    const client = new Redis(testRedisUrl());
    const redis: ReaderRedis = {
      get: (key) => client.get(key),
      mget: (keys) => client.mget(keys),
      duplicate: (given) => {
        const opened = client.duplicate(given);
        opened.on = ((on) => (event: string, listener: () => void) => {
          return event === "pmessage" ? opened : on.call(opened, event, listener);
        })(opened.on) as typeof opened.on;
        return opened;
      },
    };
    const reader = createReader({ redis, definitions, prefix: context.keys.prefix, cache: {} });
    closing.push(() => {
      reader.close();
      client.disconnect();
    });
    let status = 200;
    const writer = createWriter({
      url: "http://127.0.0.1:9",
      token: "t",
      definitions,
      reader,
      fetch: async () => {
        const written = await commit("pro", { id: subject });
        return Response.json({ flags: { tier: "pro" }, ticket: written, fetchedAt: Date.now() }, { status });
      },
    });
    await warm(reader, subject);
    await writer.setProperties(subject, { plan_tier: "pro" });
    expect((await reader.get(subject)).flags.tier).toBe("pro");

    await commit("free", { id: subject });
    reader.observe(subject, ticket);
    await warm(reader, subject);
    status = 500;
    await expect(writer.setProperties(subject, { plan_tier: "pro" })).rejects.toThrow();
    expect((await reader.get(subject)).flags.tier).toBe("pro");

    // On another server, the ticket of the write restores read-your-writes.
    await warm(reader, subject);
    const elsewhere = await commit("free", { id: subject });
    expect((await reader.get(subject)).flags.tier).toBe("pro");
    expect((await reader.get(subject, { atLeast: elsewhere })).flags.tier).toBe("free");
    expect((await reader.get(subject)).flags.tier).toBe("free");
  });
});

/** Kills the subscribing connections of this file only: other files share the server. */
async function killSubscribers(): Promise<void> {
  const list = String(await context.redis.call("CLIENT", "LIST", "TYPE", "pubsub"));
  const mine = list.split("\n").filter((line) => line.includes(`name=${context.keys.prefix} `));
  expect(mine.length).toBeGreaterThan(0);
  for (const line of mine) await context.redis.call("CLIENT", "KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "");
}
