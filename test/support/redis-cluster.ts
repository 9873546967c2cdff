import { createServer } from "node:net";
import { Cluster, Redis } from "ioredis";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { until } from "./until.ts";

/** A Redis Cluster of real processes on this machine. */
export interface RedisCluster {
  /** `redis-cluster://` with all masters. */
  url: string;
  masters: readonly EmbeddedRedis[];
  /** One per master, in the same order; none by default. */
  replicas: readonly EmbeddedRedis[];
  /** Returns the index of the master that a key belongs to, as the cluster was created. */
  masterOf(key: string): Promise<number>;
  /** Removes all keys. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Options for {@link startRedisCluster}. */
export interface RedisClusterOptions {
  masters?: number;
  /** Start a replica of each master. */
  replicas?: boolean;
  durable?: boolean;
  /** After this time without an answer, a replica takes over. */
  nodeTimeoutMs?: number;
  args?: readonly string[];
}

const slotCount = 16_384;

export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { masters: count = 3, replicas = false, durable = false, nodeTimeoutMs = 2_000, args = [] } = options;
  const start = async () =>
    startEmbeddedRedis({
      port: await freePair(),
      durable,
      args: [
        ...["--cluster-enabled", "yes", "--cluster-node-timeout", String(nodeTimeoutMs)],
        ...["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"],
        ...args,
      ],
    });
  const servers = await Promise.all(Array.from({ length: replicas ? 2 * count : count }, start));
  const admins = servers.map(({ url }) => new Redis(url).on("error", () => undefined));
  const size = Math.ceil(slotCount / count);
  await Promise.all(
    admins.map(async (admin, index) => {
      await admin.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
      if (index >= count) return;
      const slots = Array.from({ length: Math.min(size, slotCount - index * size) }, (_, slot) => index * size + slot);
      await admin.cluster("ADDSLOTS", ...(slots as [number, ...number[]]));
    }),
  );
  const [first] = admins as [Redis];
  for (const { url } of servers.slice(1)) await first.cluster("MEET", "127.0.0.1", Number(new URL(url).port));
  const knows = async (admin: Redis, text: string) => (await admin.cluster("INFO")).includes(text);
  await until(async () => {
    for (const admin of admins) {
      if (!(await knows(admin, "cluster_state:ok"))) throw new Error("The cluster is not ready.");
      if (!(await knows(admin, `cluster_known_nodes:${servers.length}`))) throw new Error("Nodes are missing.");
    }
  }, 20_000);
  for (const [index, replica] of admins.slice(count).entries()) {
    await replica.cluster("REPLICATE", String(await admins[index]?.cluster("MYID")));
  }
  await until(async () => {
    for (const master of replicas ? admins.slice(0, count) : []) {
      if (!(await master.info("replication")).includes("state=online")) throw new Error("A replica is not online.");
    }
  }, 20_000);
  const masters = servers.slice(0, count);
  const url = `redis-cluster://${masters.map((server) => new URL(server.url).host).join(",")}`;
  return {
    url,
    masters,
    replicas: servers.slice(count),
    masterOf: async (key) => Math.floor((await first.cluster("KEYSLOT", key)) / size),
    async flush() {
      const cluster = new Cluster(masters.map((server) => server.url));
      cluster.on("error", () => undefined);
      await cluster.ping();
      await Promise.all(cluster.nodes("master").map((node) => node.flushall()));
      cluster.disconnect();
    },
    async close() {
      for (const admin of admins) admin.disconnect();
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

/** Stops a server's process without ending it: it does not answer, and its connections stay open. */
export async function suspend({ url }: EmbeddedRedis): Promise<{ resume(): void }> {
  const redis = new Redis(url);
  const pid = Number(/^process_id:(\d+)/m.exec(await redis.info("server"))?.[1]);
  redis.disconnect();
  process.kill(pid, "SIGSTOP");
  return { resume: () => process.kill(pid, "SIGCONT") };
}

// Nodes talk to each other on a port that is 10,000 higher.
async function freePair(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
