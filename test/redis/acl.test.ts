import { Redis } from "ioredis";
import { createReader, defineFlags, fresh, property } from "kindling";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { readFigures } from "../../src/status/read-status.ts";
import { type DocumentedAcl, documentedAcls, urlOfUser } from "../support/acl.ts";
import { runSweep } from "../support/run-sweep.ts";
import { testUser } from "../support/signer.ts";
import { startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const keys = createKeys("kindling");
const id = testUser(1);
const definitions = defineFlags({
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: fresh(property.boolean("admin", { default: false }), { maxAge: 60_000, whenOlder: "refresh" }),
});

const title = ({ file, rules }: DocumentedAcl) =>
  `${file}, ${rules.includes("+zadd") ? "requests refreshes" : "only reads"}, ${rules.some((rule) => rule.startsWith("%")) ? "Redis 7" : "Redis 6.2"}`;
const ofApps = documentedAcls.filter(({ user }) => user === "app").map((line) => ({ name: title(line), ...line }));

let server: EmbeddedRedis;
let admin: Redis;

beforeAll(async () => {
  server = await startEmbeddedRedis();
  admin = new Redis(server.url);
});

afterAll(async () => {
  admin.disconnect();
  await server.close();
});

it("are documented for reading and for requesting refreshes, for Redis 6.2 and 7", () => {
  expect(ofApps.map(({ name }) => name).sort()).toEqual([
    "docs/security.md, only reads, Redis 6.2",
    "docs/security.md, only reads, Redis 7",
    "docs/security.md, requests refreshes, Redis 6.2",
    "docs/security.md, requests refreshes, Redis 7",
    "packages/kindling/README.md, requests refreshes, Redis 6.2",
    "packages/kindling/README.md, requests refreshes, Redis 7",
  ]);
  const ofKindling = documentedAcls.filter(({ user }) => user === "kindling");
  expect(ofKindling).toHaveLength(1);
  // Before Redis 7, no category of the line contains these: they were in @keyspace only.
  expect(ofKindling[0]?.rules).toEqual(expect.arrayContaining(["+wait", "+select", "+asking"]));
});

describe.each(ofApps)("the Redis user of app servers: $name", ({ rules }) => {
  const mayRequest = rules.includes("+zadd");
  let redis: Redis;

  beforeEach(async () => {
    await admin.flushall();
    // What an earlier, laxer line allowed must be gone.
    await admin.call("ACL", "SETUSER", "app", "on", "allkeys", "allchannels", "+@all", "nopass");
    await admin.call("ACL", "SETUSER", "app", ...rules);
    redis = new Redis(urlOfUser(server.url, { user: "app", rules }));
    const record = { flags: { tier: "pro", admin: true }, status: "present", fetchedAt: 1_000, ticket: 1, schema: "x" };
    await admin.set(keys.flags(id), JSON.stringify(record));
    await admin.set(keys.profile(id), "{}");
  });

  afterEach(() => redis.disconnect());

  it("reads flags, and requests and awaits refreshes if it may", async () => {
    const reader = createReader({ redis, definitions, timeoutMs: 5_000 });
    expect(await reader.get(id, { wait: 0 })).toMatchObject({ flags: { tier: "pro" }, status: "present" });
    expect(await reader.get(testUser(2), { wait: 0 })).toMatchObject({ status: "missing", complete: false });
    expect((await reader.getMany([id]))[0]).toMatchObject({ status: "present" });
    if (mayRequest) {
      const before = Date.now();
      const reading = reader.get(id, { maxAge: 1_000, wait: 10_000 });
      await until(async () => expect(await admin.zrange(keys.refreshRequests.now, 0, -1)).toContain(id));
      await until(async () => expect(await admin.pubsub("NUMSUB", keys.commits(id))).toEqual([keys.commits(id), 1]));
      const record = {
        flags: { tier: "free", admin: false },
        status: "present",
        fetchedAt: before,
        ticket: 2,
        schema: "x",
      };
      await admin.set(keys.flags(id), JSON.stringify(record));
      await admin.publish(keys.commits(id), "2");
      expect(await reading).toMatchObject({ flags: { tier: "free", admin: false } });
      const caching = createReader({ redis, definitions, timeoutMs: 5_000, cache: {} });
      await until(async () => expect(await caching.get(id, { wait: 0 })).toHaveProperty("cached", true));
      caching.close();
    }
    reader.close();
  });

  it.each<[string, string, ...(string | number)[]]>([
    ["read profiles", "GET", keys.profile(id)],
    ["write flags", "SET", keys.flags(id), "{}"],
    ["delete flags", "DEL", keys.flags(id)],
    ["read the ledger", "ZRANGE", keys.ledger, 0, -1],
    ["read the access token", "GET", `${keys.accessToken}:x`],
    ["write other keys", "ZADD", "other", 1, "x"],
    ["write the ledger", "ZADD", keys.ledger, 1, "x"],
    ["write other keys in the slot of the requests", "ZADD", keys.droppedRefreshRequests, 1, "x"],
    ["read the requests of others", "ZRANGE", keys.refreshRequests.now, 0, -1],
    ["run scripts", "EVAL", "return 1", 0],
    ["see other keys", "KEYS", "*"],
    ["subscribe to other channels", "SUBSCRIBE", "other"],
    ["subscribe to patterns", "PSUBSCRIBE", "*"],
    ["publish commits", "PUBLISH", keys.commits(id), "9"],
    ["change its own rules", "ACL", "SETUSER", "app", "+@all"],
    ["flush", "FLUSHALL"],
  ])("cannot %s", async (_what, command, ...args) => {
    await expect(redis.call(command, ...args)).rejects.toThrow(/NOPERM/);
  });
});

describe("Kindling's own Redis user", () => {
  it("can do all of Kindling's work and no more", async () => {
    await admin.flushall();
    const { rules = [] } = documentedAcls.find(({ user }) => user === "kindling") ?? {};
    await admin.call("ACL", "SETUSER", "kindling", ...rules);
    await admin.call("ACL", "LOG", "RESET");
    // What app servers can do on Redis 6.2: it cannot stop Kindling from writing there.
    await admin.zadd(keys.complete, 1, "x");
    const stack = await startStack({
      redisUrl: urlOfUser(server.url, { user: "kindling", rules }),
      env: {
        KINDLING_PREFIX: "kindling",
        KINDLING_API_TOKEN: "a-token-of-the-tests.0123456789~+",
        KINDLING_SWEEP_INTERVAL: "1h",
      },
    });
    const { emulator, store } = stack;
    stack.subscribe();
    const user = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
    await until(async () => expect(await stack.record(user.id)).toMatchObject({ flags: { tier: "pro" } }));
    const written = await fetch(new URL(`/v1/users/${user.id}/properties`, stack.webhookUrl), {
      method: "POST",
      headers: { authorization: "Bearer a-token-of-the-tests.0123456789~+" },
      body: JSON.stringify({ properties: { plan_tier: "free" } }),
    });
    expect(written.status).toBe(200);
    // An import, found by the sweep; a member that is no id, and one that is far too long.
    const [imported] = emulator.kinde.importUsers([{}]);
    await admin.zadd(keys.flags(String(imported?.id)), 1, "x");
    await runSweep(stack);
    await until(async () => expect(await stack.record(String(imported?.id))).not.toBeNull());
    expect(await store.completeness.since()).toBeDefined();
    await admin.zadd(keys.refreshRequests.now, 1, "nobody", 2, "x".repeat(10_000), 3, user.id);
    await until(async () => expect(await store.droppedRefreshRequests.read()).toEqual({ malformed: 1, oversize: 1 }));
    await store.queues.enqueueFanouts(["organization:org_1"]);
    await until(async () => expect((await store.fanoutLedger.size()).size).toBe(0));
    await store.queues.enqueueAudit();
    await until(async () => expect(await store.audits.last()).toBeDefined());
    emulator.kinde.deleteUser(user.id);
    await until(async () => expect(await stack.record(user.id)).toMatchObject({ status: "deleted" }));
    // The record is readable before the ledger is settled.
    await until(async () =>
      expect(await readFigures(store, stack.config, Date.now())).toMatchObject({ ledger: { users: { size: 0 } } }),
    );
    await expect(store.redis.flushall()).rejects.toThrow(/NOPERM/);
    await expect(store.redis.get("other")).rejects.toThrow(/NOPERM/);
    await expect(store.redis.config("GET", "*")).rejects.toThrow(/NOPERM/);
    const refused = (await admin.call("ACL", "LOG")) as string[][];
    expect(refused.map((entry) => entry[entry.indexOf("object") + 1]).sort()).toEqual([
      "config|get",
      "flushall",
      "other",
    ]);
    await stack.close();
  }, 60_000);
});
