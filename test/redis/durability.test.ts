import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { createReplication, describeLoss, readDurability } from "../../src/redis/durability.ts";
import { postUpdate } from "../support/post-event.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const context = useRedis();
const token = "t".repeat(32);
let primary: EmbeddedRedis;
let replica: EmbeddedRedis;
let stack: Stack;

beforeAll(async () => {
  primary = await startEmbeddedRedis({ durable: true, args: ["--repl-diskless-sync-delay", "0"] });
  replica = await startEmbeddedRedis({ args: ["--replicaof", "127.0.0.1", new URL(primary.url).port] });
  stack = await startStack({
    redisUrl: primary.url,
    env: { KINDLING_REDIS_REPLICAS: "1", KINDLING_REDIS_TIMEOUT: "1s", KINDLING_API_TOKEN: token },
    workers: false,
  });
  await until(async () => expect((await readDurability(stack.store.redis)).replicas).toBe(1));
}, 60_000);

afterAll(async () => {
  await stack.close();
  await replica.close();
  await primary.close();
});

const setTier = (id: string) =>
  fetch(stack.webhookUrl.replace("/webhooks/kinde", `/v1/users/${id}/properties`), {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ properties: { plan_tier: "pro" } }),
  });

describe("with KINDLING_REDIS_REPLICAS", () => {
  it("acknowledges events and writes that a replica has, and none without a replica", async () => {
    const { id } = stack.emulator.kinde.createUser();
    await until(async () => expect((await postUpdate(stack.emulator, stack.webhookUrl, testUser(1))).status).toBe(200));
    const copy = new Redis(replica.url);
    expect(await copy.zscore(stack.store.keys.ledger, testUser(1))).not.toBeNull();
    copy.disconnect();
    expect((await setTier(id)).status).toBe(200);
    await replica.kill();
    const refused = await postUpdate(stack.emulator, stack.webhookUrl, testUser(2));
    expect(refused.status).toBe(503);
    expect(refused.ms).toBeLessThan(5_000);
    const unsure = await setTier(id);
    expect([unsure.status, await unsure.json()]).toMatchObject([503, { error: { code: "write_not_visible" } }]);
    await replica.start();
    await until(async () => expect((await postUpdate(stack.emulator, stack.webhookUrl, testUser(2))).status).toBe(200));
  }, 60_000);
});

describe("the wait for replicas", () => {
  it("fails if Redis refuses the marker: the replicas can lack the writes before it", async () => {
    const { keys } = context;
    const urls = { recordsUrl: primary.url, ledgerUrl: primary.url };
    const replication = createReplication({ ...urls, keys, replicas: 1, timeoutMs: 1_000, onError: () => undefined });
    await until(() => replication.confirm());
    const admin = new Redis(primary.url);
    await admin.config("SET", "maxmemory", "1");
    await expect(replication.confirm()).rejects.toThrow("OOM");
    await admin.config("SET", "maxmemory", "0");
    await replication.confirm();
    replication.close();
    admin.disconnect();
  });
});

describe("what Redis can lose", () => {
  it("is read from Redis", async () => {
    expect(await readDurability(stack.store.redis)).toEqual({ appendOnly: true, fsync: "always", replicas: 1 });
    expect(await readDurability(context.redis)).toMatchObject({ appendOnly: false, replicas: 0 });
  });

  it.each([
    [{ appendOnly: true, fsync: "always", replicas: 0 }, 0, undefined],
    [{ appendOnly: true, fsync: "always", replicas: 1 }, 1, undefined],
    [{ appendOnly: null, fsync: null, replicas: null }, 0, undefined],
    [{ appendOnly: true, fsync: "everysec", replicas: 0 }, 0, /power cut loses about the last second.*appendfsync/],
    [{ appendOnly: false, fsync: "everysec", replicas: 0 }, 0, /crash.*snapshot.*appendonly yes/],
    [{ appendOnly: true, fsync: "always", replicas: 2 }, 0, /failover.*KINDLING_REDIS_REPLICAS/],
  ] as const)("%j with %i required replicas", (durability, required, loss) => {
    const described = describeLoss(durability, required);
    if (loss === undefined) expect(described).toBeUndefined();
    else expect(described).toMatch(loss);
  });
});
