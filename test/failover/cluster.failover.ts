import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import type { EmbeddedRedis } from "../../src/testing/redis-server.ts";
import { postUpdate } from "../support/post-event.ts";
import { type RedisCluster, startRedisCluster, suspend } from "../support/redis-cluster.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { expectKept, startTraffic } from "./traffic.ts";

let cluster: RedisCluster;
let stack: Stack;

afterEach(async () => {
  await stack.close();
  await cluster.close();
});

const start = async (env: Record<string, string>) => {
  cluster = await startRedisCluster({ replicas: true, nodeTimeoutMs: 2_000 });
  stack = await startStack({
    redisUrl: cluster.url,
    // A confirming refresh, a sweep or a retry of Kinde's would hide a loss.
    env: { KINDLING_WATCH_INTERVAL: "1s", KINDLING_WRITE_SETTLE: "1h", KINDLING_REDIS_TIMEOUT: "1s", ...env },
  });
};

const replicated = (master: EmbeddedRedis | undefined) => untilReplication(master, "state=online");
const promoted = (replica: EmbeddedRedis | undefined) => untilReplication(replica, "role:master");

async function untilReplication(server: EmbeddedRedis | undefined, state: string): Promise<void> {
  const redis = new Redis(server?.url ?? "");
  await until(async () => expect(await redis.info("replication")).toContain(state), 30_000);
  redis.disconnect();
}

describe("a cluster whose masters die under traffic", () => {
  it.each([
    ["ledger", (prefix: string) => `${prefix}:ledger`],
    ["queues", (prefix: string) => `{${prefix}}`],
    ["call budget", (prefix: string) => `{${prefix}:kinde}`],
  ])("loses nothing acknowledged with the master of the %s", async (_what, keyOf) => {
    await start({ KINDLING_REDIS_REPLICAS: "1" });
    const traffic = startTraffic(stack, 60);
    await until(() => expect(traffic.counts.accepted).toBeGreaterThan(100));
    const dead = await cluster.masterOf(keyOf(stack.config.prefix));
    await cluster.masters[dead]?.kill();
    const before = traffic.counts.accepted;
    await promoted(cluster.replicas[dead]);
    // A single copy of its slots is left, and WAIT for another one fails until the dead one is back.
    await cluster.masters[dead]?.start();
    await until(() => expect(traffic.counts.accepted).toBeGreaterThan(before + 100), 60_000);
    await traffic.stop();
    await expectKept(stack, traffic);
    console.log(traffic.counts, `longest gap ${Math.round(traffic.longestGapMs())} ms`);
  });
});

describe("a failover that loses commits whose events are settled", () => {
  it("refreshes their users again", async () => {
    await start({});
    const { emulator, webhookUrl, store, record } = stack;
    const { keys } = store;
    const busy = await Promise.all([keys.ledger, keys.queues].map((key) => cluster.masterOf(key)));
    // A user whose record is on a master of its own, so that nothing but the commit is lost.
    let id = "";
    for (let own = busy[0]; busy.includes(own as number); own = await cluster.masterOf(keys.flags(id))) {
      id = emulator.kinde.createUser({ properties: { plan_tier: "free" } }).id;
    }
    const own = await cluster.masterOf(keys.flags(id));
    expect((await postUpdate(emulator, webhookUrl, id)).status).toBe(200);
    await until(async () => expect(await record(id)).toMatchObject({ flags: { tier: "free" } }));
    await until(async () => expect(await store.redis.get(keys.ledgerPart("settled:run"))).not.toBeNull());
    await replicated(cluster.masters[own]);

    const replica = cluster.replicas[own] as EmbeddedRedis;
    const { resume } = await suspend(replica);
    const master = new Redis(cluster.masters[own]?.url ?? "");
    await master.client("KILL", "TYPE", "replica");
    master.disconnect();
    emulator.kinde.setProperties(id, { plan_tier: "pro" });
    expect((await postUpdate(emulator, webhookUrl, id)).status).toBe(200);
    await until(async () => expect(await record(id)).toMatchObject({ flags: { tier: "pro" } }));
    await until(async () => expect((await store.ledger.size()).size).toBe(0));
    await cluster.masters[own]?.kill();
    resume();

    await promoted(replica);
    await until(async () => expect(await record(id)).toMatchObject({ flags: { tier: "pro" } }), 30_000);
  });
});
