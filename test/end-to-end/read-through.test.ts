import { Redis } from "ioredis";
import { createReader, defineFlags, fresh, property, type Reader } from "kindling";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro", "enterprise"], { default: "free" }),
});
type Values = typeof definitions.defaults;

let stack: Stack;
let redis: Redis;
let reader: Reader<Values>;
/** How far the app's clock is ahead in milliseconds, to make records look old. */
let later = 0;

beforeEach(async () => {
  stack = await startStack();
  redis = new Redis(stack.config.redisUrl);
  later = 0;
  reader = createReader({
    redis,
    definitions,
    prefix: stack.config.prefix,
    now: () => Date.now() + later,
    timeoutMs: 5_000,
  });
});

afterEach(async () => {
  reader.close();
  redis.disconnect();
  await stack.close();
});

/** Creates a user with a record whose tier was then changed in Kinde's admin, which sends no webhook. */
async function changedInAdmin(): Promise<string> {
  const [user] = stack.emulator.kinde.importUsers([{}]);
  const id = String(user?.id);
  await stack.store.queues.enqueueReprocess([id]);
  await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "free" } }));
  stack.emulator.kinde.setProperties(id, { plan_tier: "pro" });
  return id;
}

const fetches = () => stack.emulator.stats.calls["GET /api/v1/user"] ?? 0;

it("ignores malformed user ids in refresh requests", async () => {
  const { refreshRequests } = stack.store.keys;
  const [user] = stack.emulator.kinde.importUsers([{}]);
  await redis.zadd(refreshRequests.now, 1, "nobody", 2, "kp_../x", 3, String(user?.id));
  await until(async () => expect(await stack.record(String(user?.id))).toMatchObject({ status: "present" }));
  await until(async () => expect(await redis.exists(refreshRequests.now)).toBe(0));
  expect(await redis.keys(`${stack.config.prefix}:flags:{*`)).toHaveLength(1);
  expect(fetches()).toBe(1);
});

describe("a read with maxAge and wait", () => {
  it("waits for the refresh of a record that is too old", async () => {
    const id = await changedInAdmin();
    const answer = await reader.get(id, { maxAge: 0, wait: 10_000 });
    expect(answer).toMatchObject({ flags: { tier: "pro" }, status: "present", source: "record" });
  });

  it("answers at once from a record that is recent enough, without a refresh request", async () => {
    const id = await changedInAdmin();
    const before = fetches();
    expect(await reader.get(id, { maxAge: 60_000, wait: 10_000 })).toMatchObject({ flags: { tier: "free" } });
    expect(await redis.exists(stack.store.keys.refreshRequests.now, stack.store.keys.refreshRequests.later)).toBe(0);
    expect(fetches()).toBe(before);
  });

  it("waits for a user who has no record yet", async () => {
    const [user] = stack.emulator.kinde.importUsers([{ properties: { plan_tier: "enterprise" } }]);
    const answer = await reader.get(String(user?.id), { wait: 10_000 });
    expect(answer).toMatchObject({ flags: { tier: "enterprise" }, status: "present" });
  });

  it("answers soon, without a record, for a user who does not exist in Kinde", async () => {
    const started = performance.now();
    expect(await reader.get("kp_nobody", { wait: 10_000 })).toMatchObject({
      status: "missing",
      flags: definitions.defaults,
    });
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(await stack.record("kp_nobody")).toBeNull();
  });

  it("answers with the old record when the wait is over", async () => {
    const id = await changedInAdmin();
    stack.emulator.faults.set({ kind: "hang" });
    expect(await reader.get(id, { maxAge: 0, wait: 100 })).toMatchObject({
      flags: { tier: "free" },
      status: "present",
    });
  });

  it("answers at once without wait and refreshes in the background", async () => {
    const id = await changedInAdmin();
    expect(await reader.get(id, { maxAge: 0 })).toMatchObject({ flags: { tier: "free" } });
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
  });

  it("costs one fetch for many concurrent readers", async () => {
    const id = await changedInAdmin();
    const before = fetches();
    stack.emulator.faults.set({ kind: "latency", ms: 200, path: "/api/v1/user" });
    await until(async () => expect(Date.now() - Number((await stack.record(id))?.fetchedAt)).toBeGreaterThan(300));
    const answers = await Promise.all(Array.from({ length: 50 }, () => reader.get(id, { maxAge: 300, wait: 10_000 })));
    expect(answers.every(({ flags: { tier } }) => tier === "pro")).toBe(true);
    expect(fetches() - before).toBe(1);
  });
});

describe("a record older than the soft age", () => {
  it("is returned at once and refreshed in the background", async () => {
    const id = await changedInAdmin();
    expect(await reader.get(id)).toMatchObject({ flags: { tier: "free" } });
    expect(await redis.exists(stack.store.keys.refreshRequests.later)).toBe(0);
    later = 5 * 60_000 + 1_000;
    expect(await reader.get(id)).toMatchObject({ flags: { tier: "free" } });
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
  });

  it("is also refreshed by getMany", async () => {
    const id = await changedInAdmin();
    later = 5 * 60_000 + 1_000;
    await reader.getMany([id]);
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
  });

  it("is requested only once if the app has no permission to write refresh requests", async () => {
    const id = await changedInAdmin();
    const refused = { count: 0 };
    const readOnly = createReader({
      redis: {
        get: (key) => redis.get(key),
        mget: (keys) => redis.mget(keys),
        zadd: () => {
          refused.count += 1;
          return Promise.reject(new Error("NOPERM"));
        },
      },
      definitions,
      prefix: stack.config.prefix,
      now: () => Date.now() + 600_000,
    });
    await readOnly.get(id, { wait: 1_000 });
    expect(await readOnly.get(id, { maxAge: 1, wait: 5_000 })).toMatchObject({ status: "present" });
    await readOnly.get(id);
    expect(refused.count).toBe(1);
  });
});

describe("the first read of a user, before the webhook", () => {
  const claims = (sub: string, iat: number) => ({ sub, iat, user_properties: { plan_tier: { v: "pro" } } });
  const seconds = () => Math.floor(Date.now() / 1000);

  it("is answered from the caller's claims, with that source", async () => {
    expect(await reader.get("kp_new", { claims: claims("kp_new", seconds()) })).toMatchObject({
      flags: { tier: "pro", onboarded: false },
      status: "missing",
      source: "claims",
    });
  });

  it("is not answered from another user's claims", async () => {
    expect(await reader.get("kp_new", { claims: claims("kp_other", seconds()) })).toMatchObject({
      flags: { tier: "free" },
      source: "defaults",
    });
  });

  it("answers with defaults for a deleted user, whatever the claims", async () => {
    const { id } = stack.emulator.kinde.createUser();
    stack.subscribe();
    stack.emulator.kinde.deleteUser(id);
    await until(async () => expect(await stack.record(id)).toMatchObject({ status: "deleted" }));
    expect(await reader.get(id, { claims: claims(id, seconds() + 60) })).toMatchObject({
      flags: { tier: "free" },
      status: "deleted",
      source: "defaults",
    });
  });

  it("refreshes the user if claims newer than the record disagree with it", async () => {
    const id = await changedInAdmin();
    expect(await reader.get(id, { claims: claims(id, seconds() + 60) })).toMatchObject({ flags: { tier: "free" } });
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
  });

  it("does not refresh the user if the claims are older than the record", async () => {
    const id = await changedInAdmin();
    expect(await reader.get(id, { claims: claims(id, seconds() - 60) })).toMatchObject({ flags: { tier: "free" } });
    expect(await redis.exists(stack.store.keys.refreshRequests.now, stack.store.keys.refreshRequests.later)).toBe(0);
  });
});

describe("a flag with its own maxAge", () => {
  const strict = defineFlags({
    tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
    served: fresh(property.string("plan_tier", { default: null }), { maxAge: 1_000, whenOlder: "serve" }),
  });
  const denied = defineFlags({
    tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
    suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
  });
  const options = () => ({ redis, prefix: stack.config.prefix, timeoutMs: 5_000 });

  it("answers at once and refreshes in the background with `serve`", async () => {
    const id = await changedInAdmin();
    const now = () => Date.now() + 2_000;
    const serving = createReader({ ...options(), definitions: strict, now });
    expect(await serving.get(id)).toMatchObject({ flags: { tier: "free" } });
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { tier: "pro" } }));
  });

  it("waits for the refresh with `refresh`", async () => {
    const id = await changedInAdmin();
    const tier = property.oneOf("plan_tier", ["free", "pro"], { default: "free" });
    const waiting = createReader({
      ...options(),
      definitions: defineFlags({ tier: fresh(tier, { maxAge: 20, whenOlder: "refresh" }) }),
      wait: 10_000,
    });
    await until(async () => expect(Date.now() - Number((await stack.record(id))?.fetchedAt)).toBeGreaterThan(20));
    expect(await waiting.get(id)).toMatchObject({ flags: { tier: "pro" }, denied: [] });
    waiting.close();
  });

  it("fails closed with `deny` if no refresh finishes in time or there is no record", async () => {
    const id = await changedInAdmin();
    stack.emulator.faults.set({ kind: "hang" });
    const now = () => Date.now() + 61_000;
    const denying = createReader({ ...options(), definitions: denied, now, wait: 50 });
    const expected = { flags: { tier: "free", suspended: true }, denied: ["suspended"] };
    expect(await denying.get(id)).toMatchObject({ status: "present", ...expected });
    expect(await denying.get("kp_nobody")).toMatchObject({ status: "missing", ...expected });
    expect(await denying.getMany([id])).toMatchObject([expected]);
    denying.close();
  });

  it("serves a recent record with `deny`", async () => {
    const id = await changedInAdmin();
    const denying = createReader({ ...options(), definitions: denied });
    expect(await denying.get(id)).toMatchObject({ flags: { suspended: false }, denied: [] });
  });
});
