import { readFileSync } from "node:fs";
import { Cluster, Redis } from "ioredis";
import { createKindling, defineFlags, property, type ReaderCluster } from "kindling";
import { blankProfile, type FlagsRecord, subscribeToCluster } from "kindling/contract";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { checkRedisServer } from "../../src/maintenance/check-redis.ts";
import { eraseUser } from "../../src/maintenance/erase-user.ts";
import { exportRecords } from "../../src/maintenance/export-records.ts";
import { forgetTokens } from "../../src/redis/access-token-store.ts";
import { primaries, readRunId, scanKeys } from "../../src/redis/client.ts";
import { checkRedis, connectRedis } from "../../src/redis/connection.ts";
import { createReplication } from "../../src/redis/durability.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { createRecords, scanStart } from "../../src/redis/records.ts";
import { readFigures } from "../../src/status/read-status.ts";
import { form, startBoard } from "../dashboard/support.ts";
import { documentedAcls } from "../support/acl.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { runSweep } from "../support/run-sweep.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack, uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";

const token = "a-token-of-the-tests.0123456789~+";
const definitions = defineFlags({ tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }) });
let cluster: RedisCluster;
let stack: Stack | undefined;

beforeAll(async () => {
  cluster = await startRedisCluster();
}, 60_000);

afterAll(() => cluster.close());

afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

/** Ids of users whose records are on each of the masters. */
async function idsOnAllMasters(names: (id: string) => string): Promise<string[]> {
  const byMaster = new Map<number, string>();
  for (let number = 1_000; byMaster.size < 3; number += 1) {
    const id = testUser(number);
    byMaster.set(await cluster.masterOf(names(id)), id);
  }
  return [...byMaster.values()];
}

describe("a service on a cluster", () => {
  it("keeps records on all masters, through events, writes, sweeps, fan-outs, requests and deletions", async () => {
    stack = await startStack({
      redisUrl: cluster.url,
      env: {
        KINDLING_API_TOKENS: `app:read+write:${token}`,
        KINDLING_CHANGES_LENGTH: "1000",
        KINDLING_INDEX_LAG: "0s",
      },
    });
    const { emulator, store, config } = stack;
    const { keys, publicRedis } = store;
    const { record } = stack;
    stack.subscribe();
    const ids = await idsOnAllMasters(keys.flags);
    for (const id of ids) emulator.kinde.createUser({ id, email: null, properties: { plan_tier: "pro" } });
    const [first = "", second = "", third = ""] = ids;
    await until(async () => {
      for (const id of ids) expect(await record(id)).toMatchObject({ flags: { tier: "pro" }, status: "present" });
    });

    const setTier = await fetch(new URL(`/v1/users/${first}/properties`, stack.webhookUrl), {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ properties: { plan_tier: "free" } }),
    });
    expect([setTier.status, await record(first)]).toMatchObject([200, { flags: { tier: "free" } }]);

    const [imported] = emulator.kinde.importUsers([{}]);
    emulator.kinde.setProperties(second, { plan_tier: "free" });
    await runSweep(stack);
    await until(async () => {
      expect(await record(String(imported?.id))).toMatchObject({ status: "present" });
      expect(await record(second)).toMatchObject({ flags: { tier: "free" } });
    });
    emulator.kinde.setProperties(third, { plan_tier: "free" });
    await publicRedis.zadd(keys.refreshRequests.now, Date.now(), third);
    await until(async () => expect(await record(third)).toMatchObject({ flags: { tier: "free" } }));
    await store.queues.enqueueFanouts(["organization:org_1"]);
    await until(async () => expect((await store.fanoutLedger.size()).size).toBe(0));
    await store.queues.enqueueAudit();
    await until(async () => expect(await store.audits.last()).toBeDefined());
    emulator.kinde.deleteUser(first);
    await until(async () => expect(await record(first)).toMatchObject({ status: "deleted" }));

    await until(async () => {
      const figures = await readFigures(store, config, Date.now());
      expect(figures.records).toEqual({ present: 3, deleted: 1, exact: true });
      expect(figures.ledger.users.size).toBe(0);
    });
    const read = await fetch(new URL("/v1/flags", stack.webhookUrl), {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ ids }),
    });
    expect(await read.json()).toMatchObject({
      users: Object.fromEntries(ids.map((id) => [id, { flags: { tier: "free" } }])),
    });

    // Each of the three had two changes, one of them a third, and the import one: none stays in an outbox.
    expect(await publicRedis.xlen(keys.changes)).toBe(8);
    expect(await store.redis.zcard(keys.ledgerPart("outboxes"))).toBe(0);
    expect(await namesOf(store.publicRedis, `${keys.prefix}:outbox:*`)).toEqual([]);

    const lines: string[] = [];
    await exportRecords(store, async (line) => void lines.push(line), new AbortController().signal);
    expect(lines.join("").match(/"userId"/g)).toHaveLength(4);
    expect(await eraseUser(second, store)).toMatchObject({ erased: { records: 2 } });
    // A confirming refresh that was running is named until it has ended.
    await until(async () => expect(await eraseUser(second, store)).toMatchObject({ found: [] }));
    expect(await forgetTokens(store.redis, keys)).toBe(1);
  });
});

async function namesOf(redis: Parameters<typeof scanKeys>[0], match: string): Promise<string[]> {
  const found: string[] = [];
  let cursor = "0";
  do {
    const [next, names] = await scanKeys(redis, cursor, { match, count: 100 });
    found.push(...names);
    cursor = next;
  } while (cursor !== "0");
  return found;
}

describe("the dashboard of a store on a cluster", () => {
  it.each([
    ["with everything on it", () => ({})],
    ["with queues and ledger on another Redis", () => ({ KINDLING_INTERNAL_REDIS_URL: testRedisUrl() })],
  ])("shows every page and acts, %s", async (_, env) => {
    const board = await startBoard({ redisUrl: cluster.url, emulator: { users: 1 }, env: env() });
    stack = board;
    const cookie = await board.signIn();
    const [id = ""] = board.emulator.kinde.userIds();
    const act = (path: string) => board.send(path, { ...form(), cookie });
    expect(await (await act(`/users/${id}/refresh`)).text()).toContain("Refreshed: committed");
    expect((await act(`/users/${id}/reprocess`)).status).toBe(200);
    expect((await act("/sweeps")).status).toBe(200);
    await until(async () => expect(await board.store.sweeps.last()).toBeDefined());
    await board.store.ledger.fail(id, { code: "x", message: "m", failedAt: 0, attempts: 1, final: true });
    for (const path of ["/", `/users/${id}?live=1`, "/failed", "/sweeps", "/webhooks", "/actions", "/history?span=day"])
      expect([path, (await board.send(path, { cookie })).status]).toEqual([path, 200]);
    expect(await (await board.send("/queues/api/queues", { cookie })).json()).toMatchObject({
      queues: expect.anything(),
    });
    expect(await (await act(`/users/${id}/discard`)).text()).toContain("Discarded");
    expect((await board.store.actions.latest(10)).map(({ action }) => action)).toContain("sweep");
    expect(await board.store.trail.read(id)).toContainEqual(expect.objectContaining({ kind: "refresh" }));
  });
});

describe("the store", () => {
  let opened: Stack;
  beforeEach(async () => {
    opened = await startStack({ redisUrl: cluster.url, workers: false, env: { KINDLING_CHANGES_LENGTH: "1000" } });
    stack = opened;
  });

  const record = (ticket: number, tier = "pro"): FlagsRecord => ({
    flags: { tier },
    status: "present",
    fetchedAt: 1_000,
    ticket,
    schema: "x",
  });

  it("refuses a ticket that the counter on another master has not reached", async () => {
    const { records, ledger, keys } = opened.store;
    for (const id of await idsOnAllMasters(keys.flags)) {
      const { ticket } = await ledger.begin(id);
      const lost = records.commit(record(ticket + 1_000), blankProfile(id));
      await expect(lost).rejects.toMatchObject({ code: "redis_unavailable" });
      expect((await records.read(id)).flags).toBeUndefined();
      expect(await records.commit(record(ticket), blankProfile(id))).toBe("committed");
      expect(await records.commit(record(ticket - 1, "free"), blankProfile(id))).toBe("superseded");
      expect((await records.read(id)).flags).toEqual(record(ticket));
    }
  });

  it("raises the counter above records that outlived it", async () => {
    const { records, ledger, keys, redis } = opened.store;
    const [id = ""] = await idsOnAllMasters(keys.flags);
    const { ticket } = await ledger.begin(id);
    await records.commit(record(ticket), blankProfile(id));
    await redis.set(keys.ticket.counter, String(ticket - 1_000));
    const { ticket: low } = await ledger.begin(id);
    await expect(records.commit(record(low, "free"), blankProfile(id))).rejects.toMatchObject({
      code: "redis_unavailable",
    });
    const { ticket: high } = await ledger.begin(id);
    expect(await records.commit(record(high, "free"), blankProfile(id))).toBe("committed");
  });

  it("relays changes of a process that died after its commit", async () => {
    const { records, keys, redis, publicRedis } = opened.store;
    const { ticket } = await opened.store.ledger.begin("x");
    const ids = await idsOnAllMasters(keys.flags);
    // Fails between commit and relay: its stream is not a stream.
    await publicRedis.set(keys.changes, "not a stream");
    for (const id of ids) await expect(records.commit(record(ticket), blankProfile(id))).rejects.toThrow("WRONGTYPE");
    await publicRedis.del(keys.changes);
    const index = keys.ledgerPart("outboxes");
    expect(await records.relayLeftChanges()).toBe(0);
    expect((await redis.zrange(index, 0, -1)).sort()).toEqual([...ids].sort());
    for (const id of ids) await redis.zincrby(index, -31_000_000, id);
    expect(await records.relayLeftChanges()).toBe(3);
    const entries = await publicRedis.xrange(keys.changes, "-", "+");
    expect(entries.map(([, [, user]]) => user).sort()).toEqual([...ids].sort());
    expect(await redis.exists(index)).toBe(0);
    expect(await namesOf(publicRedis, `${keys.prefix}:outbox:*`)).toEqual([]);
  });

  it("puts recently settled users back into the ledger when another process serves the records", async () => {
    const { ledger, settled, keys, redis } = opened.store;
    const [id = "", gone = ""] = await idsOnAllMasters(keys.flags);
    expect(await settled?.look()).toBe(0);
    await ledger.intend(id);
    const begun = await ledger.begin(id);
    await ledger.settle(id, begun.ticket, begun);
    await ledger.intend(gone);
    await redis.hset(keys.ledgerPart("latest"), gone, `d${(await ledger.begin(gone)).ticket}`);
    await ledger.settle(gone, (await ledger.begin(gone)).ticket);
    expect((await ledger.size()).size).toBe(0);
    expect(await settled?.look()).toBe(0);
    await redis.set(keys.ledgerPart("settled:run"), "those before");
    await redis.del(keys.ledgerPart(`deleted:${gone}`));
    expect(await settled?.look()).toBe(2);
    expect((await ledger.size()).size).toBe(2);
    expect(await ledger.begin(id)).toMatchObject({ deleted: false, events: 0 });
    expect(await ledger.begin(gone)).toMatchObject({ deleted: true });
    expect((await ledger.latest(id)) > begun.ticket).toBe(true);
    expect(await settled?.look()).toBe(0);
  });

  it("scans all masters, in the same order until one is replaced", async () => {
    const { records, keys, publicRedis } = opened.store;
    const ids = Array.from({ length: 50 }, (_, index) => testUser(index));
    await records.restore(ids.map((userId) => ({ userId, flags: record(1), profile: blankProfile(userId) })));
    const seen: string[] = [];
    let place = scanStart;
    do {
      const page = await records.scan(place, 10);
      seen.push(...page.profiles.map(({ id }) => id));
      expect(page.runId).toBe(await readRunId(publicRedis));
      place = page;
    } while (place.cursor !== scanStart.cursor);
    expect([...new Set(seen)].sort()).toEqual([...ids].sort());
    expect(await records.tickets(ids)).toEqual(ids.map(() => 1));
    expect(primaries(publicRedis)).toHaveLength(3);
    expect(keys.flagsOwner(keys.flags("kp_1"))).toBe("kp_1");
  });

  it("fills no page beyond its size where a master with many profiles follows one without", async () => {
    const { records, publicRedis } = opened.store;
    await cluster.flush();
    const runIdOf = async (master: Redis) => /^run_id:(\w+)/m.exec(await master.info("server"))?.[1] ?? "";
    const runIds = await Promise.all(primaries(publicRedis).map(runIdOf));
    const first = primaries(publicRedis)[runIds.indexOf([...runIds].sort()[0] ?? "")];
    const setAtFirst = (tag: string) => first?.set(`{${tag}}`, "").catch(() => "MOVED");
    const tags = Array.from({ length: 900 }, (_, index) => testUser(index));
    const answers = await Promise.all(tags.map(setAtFirst));
    const tag = tags[answers.indexOf("OK")];
    const sessions = Array.from({ length: 20_000 }, (_, index) => `{${tag}}:session:${index}`);
    await first?.mset(sessions.flatMap((name) => [name, ""]));
    const ids = tags.filter((_, index) => answers[index] === "MOVED");
    await records.restore(ids.map((userId) => ({ userId, flags: record(1), profile: blankProfile(userId) })));
    const seen = new Set<string>();
    let place = scanStart;
    do {
      const page = await records.scanIds(place, 100);
      expect(page.userIds.length).toBeLessThanOrEqual(200);
      for (const id of page.userIds) seen.add(id);
      place = page;
    } while (place.cursor !== scanStart.cursor);
    expect([...seen].sort()).toEqual([...ids].sort());
  });
});

describe("the wait for replicas", () => {
  it("follows a slot that another master took over", async () => {
    const keys = createKeys(uniquePrefix());
    const urls = { recordsUrl: cluster.url, ledgerUrl: cluster.url };
    const replication = createReplication({ ...urls, keys, replicas: 1, timeoutMs: 1_000, onError: () => undefined });
    const withoutReplica = "Only 0 of 1 replicas";
    await until(() => expect(replication.confirm()).rejects.toThrow(withoutReplica));
    await cluster.flush();
    const marker = keys.ledgerPart("replicated");
    const former = await cluster.masterOf(marker);
    const masters = cluster.masters.map(({ url }) => new Redis(url));
    const heir = masters.at(former - 1);
    const [slot, id] = await Promise.all([heir?.cluster("KEYSLOT", marker), heir?.cluster("MYID")]);
    for (const master of [heir, masters[former]]) await master?.cluster("SETSLOT", Number(slot), "NODE", String(id));
    await expect(replication.confirm()).rejects.toThrow(withoutReplica);
    expect(await heir?.exists(marker)).toBe(1);
    replication.close();
    for (const master of masters) master.disconnect();
  });
});

describe("checks", () => {
  it("examine every master", async () => {
    const redis = connectRedis({ url: cluster.url, timeoutMs: 2_000, onError: () => undefined });
    const place = { url: cluster.url, setting: "REDIS_URL" };
    const settings = { timeoutMs: 2_000, now: Date.now, domain: undefined, replicas: 0 };
    const options = { redis, place, keys: createKeys("doctor"), ...settings };
    const checks = await checkRedisServer(options);
    expect(checks.map(({ name, status }) => `${name}: ${status}`)).toEqual([
      ...["Redis: ok", "Redis Cluster: ok", "Redis role: ok", "Redis persistence: warning", "Redis memory: ok"],
      ...["Redis permissions: ok", "Redis latency: ok", "Redis clock: ok", "Tenant: ok"],
    ]);
    const [, master] = primaries(redis);
    await master?.config("SET", "maxmemory-policy", "allkeys-lru");
    await expect(checkRedis(redis, { url: cluster.url, timeoutMs: 2_000 })).rejects.toMatchObject({
      code: "redis_unsuitable",
    });
    await master?.config("SET", "maxmemory-policy", "noeviction");
    redis.disconnect();
  });

  it("name a cluster that is a single Redis, and nodes that do not answer", async () => {
    const explain = async (url: string) => {
      const redis = connectRedis({ url, timeoutMs: 1_000, onError: () => undefined });
      const failed = await checkRedis(redis, { url, timeoutMs: 1_000 }).catch(({ message }) => message);
      redis.disconnect();
      return failed;
    };
    expect(await explain("redis-cluster://127.0.0.1:1,127.0.0.1:2")).toBe(
      "The Redis Cluster at 127.0.0.1:1, 127.0.0.1:2 cannot be reached: nothing listens on that port. " +
        "Check that Redis is running, or correct REDIS_URL.",
    );
    expect(
      await explain(
        testRedisUrl()
          .replace("redis://", "redis-cluster://")
          .replace(/\/\d+$/, ""),
      ),
    ).toMatch(/^The Redis Cluster at .* is not a cluster: write redis:\/\/ in REDIS_URL\.$/);
  });
});

describe("Redis users", () => {
  const onCluster = ["+cluster|slots", "+cluster|info", "+client|setname"];
  const rulesOf = (name: string, wanted: (rules: readonly string[]) => boolean) =>
    documentedAcls.find(({ user, rules }) => user === name && wanted(rules))?.rules ?? [];

  it("of the documentation are enough, with the rules for clusters", async () => {
    const page = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
    expect(page).toContain(onCluster.map((rule) => `'${rule}'`).join(" "));
    const service = rulesOf("kindling", () => true);
    const reader = rulesOf("app", (rules) => rules.includes("+psubscribe") && rules.some((rule) => /^%R/.test(rule)));
    const masters = cluster.masters.map(({ url }) => new Redis(url));
    for (const master of masters) {
      await master.call("ACL", "SETUSER", "kindling", ...service, ...onCluster);
      await master.call("ACL", "SETUSER", "app", ...reader, ...onCluster);
      await master.call("ACL", "LOG", "RESET");
    }
    stack = await startStack({
      redisUrl: cluster.url.replace("://", "://kindling:choose-a-password@"),
      env: { KINDLING_PREFIX: "kindling", KINDLING_CHANGES_LENGTH: "100" },
    });
    stack.subscribe();
    const app = new Cluster(
      cluster.masters.map(({ url }) => url),
      { redisOptions: { username: "app", password: "choose-a-password" } },
    );
    const kindling = createKindling({ redis: app, definitions, timeoutMs: 5_000, cache: {} });
    const users = Array.from({ length: 6 }, () =>
      stack?.emulator.kinde.createUser({ properties: { plan_tier: "pro" } }),
    );
    for (const user of users) {
      await until(async () => {
        expect(await kindling.get(String(user?.id))).toMatchObject({ flags: { tier: "pro" }, cached: true });
      });
    }
    await runSweep(stack);
    await expect(kindling.getMany(users.map((user) => String(user?.id)))).resolves.toHaveLength(6);
    kindling.close();
    app.disconnect();
    // What a service only asks for, and what a client only tells: both do without.
    const refused = await Promise.all(masters.map(async (master) => (await master.call("ACL", "LOG")) as string[][]));
    const denied = refused.flat().map((entry) => entry[entry.indexOf("object") + 1]);
    expect(denied.filter((object) => !["config|get", "client|setinfo"].includes(String(object)))).toEqual([]);
    for (const master of masters) master.disconnect();
  });
});

describe("the client", () => {
  let app: Cluster;
  const prefix = uniquePrefix();
  const keys = createKeys(prefix);
  const records = (redis: Cluster) => createRecords({ redis, keys, tombstoneTtlMs: 60_000 });

  beforeAll(() => {
    app = new Cluster(cluster.masters.map(({ url }) => url));
  });

  afterAll(() => app.disconnect());

  it("takes ioredis' Cluster as it is, and reads users of all masters at once", async () => {
    expectTypeOf<Cluster>().toExtend<ReaderCluster>();
    const kindling = createKindling({ redis: app, definitions, prefix, timeoutMs: 5_000 });
    const ids = await idsOnAllMasters((id) => `{${id}}`);
    await records(app).restore(
      ids.map((userId) => ({ userId, flags: tierRecord("pro", 1), profile: blankProfile(userId) })),
    );
    const answers = await kindling.getMany([...ids, testUser(999)]);
    expect(answers.map(({ flags, status }) => [flags.tier, status])).toEqual([
      ...ids.map(() => ["pro", "present"]),
      ["free", "missing"],
    ]);
    expect(await app.zcard(keys.refreshRequests.later)).toBe(4);
    kindling.close();
  });

  it("waits for commits on any master", async () => {
    const kindling = createKindling({ redis: app, definitions, prefix, timeoutMs: 5_000 });
    for (const id of await idsOnAllMasters((id) => `{${id}}`)) {
      const reading = kindling.get(id, { maxAge: 0, wait: 10_000 });
      await until(async () => expect(await app.zrange(keys.refreshRequests.now, 0, -1)).toContain(id));
      await app.set(keys.flags(id), JSON.stringify(tierRecord("free", 2, Date.now())));
      await app.publish(keys.commits(id), "2");
      expect((await reading).flags.tier).toBe("free");
    }
    kindling.close();
  });

  it("does not wait for commits that it must not hear of", async () => {
    const masters = cluster.masters.map(({ url }) => new Redis(url));
    for (const master of masters) {
      await master.call("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "&*", "+@all", "-subscribe", "-psubscribe");
    }
    const deaf = new Cluster(
      cluster.masters.map(({ url }) => url),
      { redisOptions: { username: "deaf", password: "pw" } },
    );
    const kindling = createKindling({ redis: deaf, definitions, prefix, timeoutMs: 5_000 });
    const began = performance.now();
    for (const id of [testUser(1), testUser(2)]) {
      expect(await kindling.get(id, { maxAge: 0, wait: 20_000 })).toMatchObject({ status: "missing" });
    }
    expect(performance.now() - began).toBeLessThan(10_000);
    kindling.close();
    deaf.disconnect();
    for (const master of masters) master.disconnect();
  });

  it("keeps nothing of a wait that ended while a master was away", async () => {
    const node = { options: { port: 1 }, duplicate: () => ({ on: () => undefined, disconnect: () => undefined }) };
    const subscriber = subscribeToCluster({ get: async () => null, nodes: () => [node as never] });
    const [first, second] = [subscriber.subscribe("first"), subscriber.subscribe("second")];
    const settled = vi.fn();
    second.catch(settled);
    await subscriber.unsubscribe("first");
    await expect(first).rejects.toThrow("not wanted");
    expect(settled).not.toHaveBeenCalled();
    subscriber.disconnect();
    await expect(second).rejects.toThrow("closed");
  });

  it("caches under a lease of every master, and drops what a commit on one of them changes", async () => {
    const kindling = createKindling({ redis: app, definitions, prefix, timeoutMs: 5_000, cache: { lease: 1_000 } });
    const ids = await idsOnAllMasters((id) => `{${id}}`);
    const set = (id: string, tier: string, ticket: number) =>
      app.set(keys.flags(id), JSON.stringify(tierRecord(tier, ticket, Date.now())));
    for (const id of ids) await set(id, "pro", 10);
    for (const id of ids) await until(async () => expect(await kindling.get(id)).toHaveProperty("cached", true));
    for (const [index, id] of ids.entries()) {
      await set(id, "free", 11 + index);
      const node = app.nodes("master")[index];
      await node?.publish(keys.commits(id), String(11 + index));
      await until(async () => expect((await kindling.get(id)).flags.tier).toBe("free"));
    }
    kindling.close();
  });

  it("answers nothing from memory while a master does not answer", async () => {
    const kindling = createKindling({ redis: app, definitions, prefix, timeoutMs: 5_000, cache: { lease: 200 } });
    const [id = ""] = await idsOnAllMasters((id) => `{${id}}`);
    await app.set(keys.flags(id), JSON.stringify(tierRecord("pro", 30, Date.now())));
    await until(async () => expect(await kindling.get(id)).toHaveProperty("cached", true));
    const own = await cluster.masterOf(`{${id}}`);
    const other = app.nodes("master").find(({ options }) => !cluster.masters[own]?.url.endsWith(`:${options.port}`));
    const asleep = other?.duplicate().call("CLIENT", "PAUSE", 1_500, "ALL");
    await asleep;
    await until(async () => expect(await kindling.get(id)).not.toHaveProperty("cached"), 1_400);
    await until(async () => expect(await kindling.get(id)).toHaveProperty("cached", true));
    kindling.close();
  });
});

function tierRecord(tier: string, ticket: number, fetchedAt = 1): FlagsRecord {
  return { flags: { tier }, status: "present", fetchedAt, ticket, schema: definitions.schema };
}
