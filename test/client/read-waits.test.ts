import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { createReader, defineFlags, fresh, property, type ReaderRedis } from "kindling";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import repositoryFlags from "../../kindling.flags.ts";
import { createCommits } from "../../packages/kindling/src/reader/commits.ts";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";
import { startWire, type Wire } from "../support/wire.ts";

const context = useRedis();
const plain = defineFlags({ tier: property.string("plan_tier", { default: "free" }) });
const strict = defineFlags({
  tier: fresh(property.string("plan_tier", { default: "free" }), { maxAge: 1_000, whenOlder: "refresh" }),
});

let wire: Wire;
let redis: Redis;
let sent: string[];

beforeEach(async () => {
  wire = await startWire(testRedisUrl());
  redis = new Redis(wire.url);
  redis.on("error", () => undefined);
  // Connected, so that only the reader's own commands count.
  await redis.ping();
  sent = [];
  const [young, old] = [Date.now(), 1_000].map((fetchedAt) =>
    JSON.stringify({ flags: { tier: "pro" }, status: "present", fetchedAt, ticket: 1, schema: plain.schema }),
  );
  await context.redis.set(context.keys.flags(testUser(1)), String(young));
  await context.redis.set(context.keys.flags(testUser(2)), String(old));
});

afterEach(async () => {
  redis.disconnect();
  await wire.close();
});

/** Real Redis whose answers take `ms` longer. */
function slow(ms: number): ReaderRedis {
  const late = async <T>(command: string, answer: Promise<T>) => {
    sent.push(command);
    const [value] = await Promise.all([answer, delay(ms)]);
    return value;
  };
  return {
    get: (key) => late("GET", redis.get(key)),
    mget: (keys) => late("MGET", redis.mget(keys)),
    zadd: (key, greater, ...rest) => late("ZADD", redis.zadd(key, greater, ...(rest as [number, string]))),
    duplicate: (options) => redis.duplicate(options),
  };
}

async function timed<T>(call: Promise<T>): Promise<{ answer: T; ms: number }> {
  const started = performance.now();
  const answer = await call;
  return { answer, ms: performance.now() - started };
}

const open = (client: ReaderRedis, timeoutMs = 1_000, definitions = plain) =>
  createReader({
    redis: client,
    definitions,
    prefix: context.keys.prefix,
    timeoutMs,
    softAge: Number.POSITIVE_INFINITY,
  });

describe("the commands of a read", () => {
  it("are one GET for a record that is young enough", async () => {
    expect(await open(slow(0)).get(testUser(1), { maxAge: 60_000, wait: 5_000 })).toMatchObject({ status: "present" });
    expect(sent).toEqual(["GET"]);
  });

  it("are two GETs and a refresh request for a user without a record", async () => {
    expect(await open(slow(0)).get(testUser(9))).toMatchObject({ status: "missing", complete: false });
    expect(sent.filter((command) => command === "GET")).toHaveLength(2);
    expect(sent.filter((command) => command !== "GET")).toEqual(["ZADD"]);
  });
});

describe("a read in progress at close", () => {
  it("answers and opens no connection", async () => {
    let opened = 0;
    const reader = open({
      ...slow(0),
      duplicate(options) {
        opened += 1;
        return redis.duplicate(options);
      },
    });
    const reading = reader.get(testUser(2), { maxAge: 0, wait: 2_000 });
    reader.close();
    expect((await reading).flags).toEqual({ tier: "pro" });
    expect(opened).toBe(0);
  });
});

describe("the connection for waits", () => {
  const stale = testUser(2);
  const channel = () => context.keys.commits(stale);
  const listeners = async () => (await context.redis.pubsub("NUMSUB", channel()))[1];
  const commit = async () => {
    const record = { flags: { tier: "free" }, status: "present", fetchedAt: Date.now(), ticket: 2, schema: "" };
    await context.redis.set(context.keys.flags(stale), JSON.stringify(record));
    await context.redis.publish(channel(), "2");
  };
  const over = (duplicate: ReaderRedis["duplicate"]): ReaderRedis => ({
    get: (key) => context.redis.get(key),
    zadd: (key, greater, ...rest) => context.redis.zadd(key, greater, ...(rest as [number, string])),
    ...(duplicate && { duplicate }),
  });

  it("hears of commits again after it was lost", async () => {
    const reader = open(over((options) => redis.duplicate(options)));
    const reading = reader.get(stale, { maxAge: 0, wait: 15_000 });
    await until(async () => expect(await listeners()).toBe(1));
    wire.cut();
    await until(async () => expect(await listeners()).toBe(0));
    wire.restore();
    await until(async () => expect(await listeners()).toBe(1));
    const { answer, ms } = await timed(commit().then(() => reading));
    expect(answer.flags).toEqual({ tier: "free" });
    expect(ms).toBeLessThan(5_000);
    reader.close();
  });

  it("ends no process when its Redis user loses the permission", async () => {
    const user = `waiter-${context.keys.prefix}`;
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    await context.redis.call("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all");
    const app = redis.duplicate({ username: user, password: "pw", retryStrategy: () => 20 });
    const commits = createCommits(app, context.keys);
    await commits?.watch(stale, () => undefined).ready;
    await context.redis.call("ACL", "SETUSER", user, "resetchannels", "-subscribe");
    const denials = async () => JSON.stringify(await context.redis.call("ACL", "LOG"));
    await until(async () => expect(await denials()).toContain(user));
    // The next command on the same connection: by then, the refusal has arrived.
    await expect(commits?.watch(testUser(1), () => undefined).ready).rejects.toThrow("NOPERM");
    commits?.close();
    app.disconnect();
    await context.redis.call("ACL", "DELUSER", user);
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it("does not hold back the request while it does not answer, and is used as soon as it does", async () => {
    await context.redis.del(context.keys.refreshRequests.now);
    wire.hold();
    const reader = open(
      over((options) => new Redis(wire.url, options)),
      1_000,
    );
    const reading = reader.get(stale, { maxAge: 0, wait: 15_000 });
    await until(async () => expect(await context.redis.zscore(context.keys.refreshRequests.now, stale)).not.toBeNull());
    await commit();
    wire.release();
    const { answer, ms } = await timed(reading);
    expect(answer.flags).toEqual({ tier: "free" });
    expect(ms).toBeLessThan(5_000);
    reader.close();
  });

  it("is replaced if it does not answer SUBSCRIBE for 10 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const on = new Map<string, () => void>();
    const disconnect = vi.fn();
    const connection = {
      on: (event: string, listener: () => void) => on.set(event, listener),
      subscribe: () => new Promise(() => undefined),
      unsubscribe: async () => 1,
      disconnect,
    };
    const commits = createCommits({ get: async () => null, duplicate: () => connection as never }, context.keys);
    commits?.watch(stale, () => undefined);
    await vi.advanceTimersByTimeAsync(20_000);
    // It was still connecting, which ioredis limits itself.
    expect(disconnect).not.toHaveBeenCalled();
    on.get("ready")?.();
    await vi.advanceTimersByTimeAsync(9_999);
    expect(disconnect).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(disconnect).toHaveBeenCalledWith(true);
    commits?.close();
    vi.useRealTimers();
  });
});

describe("the time of a read", () => {
  it("is at most timeoutMs for both GETs of a miss together", async () => {
    const { answer, ms } = await timed(open(slow(700)).get(testUser(9)));
    expect(answer).toMatchObject({ status: "missing", complete: false });
    expect(ms).toBeLessThan(1_300);
  });

  it("is at most timeoutMs if Redis does not answer, even with a wait", async () => {
    wire.freeze();
    const { answer, ms } = await timed(open(redis, 500, strict).get(testUser(1), { maxAge: 0, wait: 20_000 }));
    expect(answer).toMatchObject({ status: "unavailable" });
    expect(ms).toBeGreaterThan(450);
    expect(ms).toBeLessThan(2_000);
  });

  it("is at most timeoutMs plus the wait if Redis is slow", async () => {
    const { answer, ms } = await timed(open(slow(700)).get(testUser(2), { maxAge: 0, wait: 500 }));
    expect(answer).toMatchObject({ status: "present", flags: { tier: "pro" } });
    expect(ms).toBeLessThan(1_900);
  });

  it("is at most timeoutMs plus the wait if Redis stops answering meanwhile", async () => {
    wire.onRequest((piece) => {
      if (/zadd/i.test(piece)) wire.freeze();
    });
    const reader = open(redis, 500);
    const { answer, ms } = await timed(reader.get(testUser(2), { maxAge: 0, wait: 500 }));
    expect(answer).toMatchObject({ status: "present", flags: { tier: "pro" } });
    expect(ms).toBeLessThan(1_400);
    reader.close();
  });

  it("includes the reader's wait for a user without a record if a flag must be fresh, unless wait is 0", async () => {
    const reader = createReader({ redis, definitions: repositoryFlags, prefix: context.keys.prefix });
    const waited = await timed(reader.get(testUser(9)));
    expect(waited.answer).toMatchObject({ status: "missing" });
    expect(waited.ms).toBeGreaterThan(950);
    expect(waited.ms).toBeLessThan(2_000);
    const atOnce = await timed(reader.get(testUser(9), { wait: 0 }));
    expect(atOnce.answer).toMatchObject({ status: "missing" });
    expect(atOnce.ms).toBeLessThan(500);
    reader.close();
  });
});
