import { once } from "node:events";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { Cluster, type CommonRedisOptions, Redis } from "ioredis";
import { RedisError } from "../errors.ts";
import { parseRedisUrl, type RedisTarget } from "../redis-url.ts";
import { isCluster, primaries, type RedisClient } from "./client.ts";
import { explainRedisFailure, isWrongSetting } from "./explain-failure.ts";

/** Options for {@link connectRedis}. */
export interface ConnectOptions {
  /** As {@link parseRedisUrl} takes it. */
  url: string;
  /**
   * Longest wait for an answer, in milliseconds: commands fail at once while Redis is unreachable. If omitted, commands
   * wait until it is back, as BullMQ's workers require.
   */
  timeoutMs?: number;
  /** Send the commands of one turn of the event loop together. Default `false`. */
  autoPipelining?: boolean;
  /** Called with connection errors. ioredis keeps trying to reconnect. */
  onError: (error: Error) => void;
}

/** How long a change of a cluster's masters can stay unnoticed by a connection that waits, in milliseconds. */
const slotsRefreshMs = 15_000;

/** Opens a connection to Redis, or to all masters of a cluster, that reconnects automatically. */
export function connectRedis({ url, timeoutMs, autoPipelining = false, onError }: ConnectOptions): RedisClient {
  const target = parseRedisUrl(url);
  const common: CommonRedisOptions = {
    ...(target.username !== undefined && { username: target.username }),
    ...(target.password !== undefined && { password: target.password }),
    ...(target.tls && { tls: {} }),
    ...(timeoutMs === undefined
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 0, commandTimeout: timeoutMs, connectTimeout: timeoutMs }),
    keepAlive: 10_000,
    // Who subscribes does so on each `ready`. If ioredis does, a connection that closes meanwhile ends the process.
    autoResubscribe: false,
    // Redis users would need a permission for it that Redis before 7.2 does not know.
    disableClientInfo: true,
  };
  const shared = {
    enableOfflineQueue: timeoutMs === undefined,
    enableAutoPipelining: autoPipelining,
  };
  const retryStrategy = (attempt: number) => Math.min(50 * attempt, 1000);
  const silenceMs = timeoutMs ?? defaultSilenceMs;
  if (target.kind === "cluster") {
    const cluster = new Cluster([...target.nodes], {
      ...shared,
      redisOptions: common,
      clusterRetryStrategy: retryStrategy,
      slotsRefreshInterval: slotsRefreshMs,
      slotsRefreshTimeout: timeoutMs ?? 2_000,
      // Certificates name hosts, not addresses: https://github.com/redis/ioredis#special-note-aws-elasticache-clusters-with-tls
      ...(target.tls && { dnsLookup: (address: string, callback: Found) => callback(null, address) }),
    });
    cluster.on("error", onError);
    cluster.on("+node", (node: Redis) => {
      node.on("connect", () => writeTogether(node.stream));
      reconnectWhenSilent(node, silenceMs);
    });
    return cluster;
  }
  const redis = new Redis({
    ...common,
    ...shared,
    ...placeOf(target),
    db: target.database,
    // After a failover that keeps connections open, the old primary refuses writes.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    retryStrategy,
    sentinelRetryStrategy: retryStrategy,
  });
  redis.on("error", onError);
  redis.on("connect", () => writeTogether(redis.stream));
  reconnectWhenSilent(redis, silenceMs);
  return redis;
}

// A system call costs more than most commands, so all of one turn of the event loop share one. ioredis's automatic pipelining
// does more than that: it holds further commands back until all answers to the earlier ones are there.
function writeTogether(socket: Writable): void {
  const write = socket.write.bind(socket);
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };
  socket.write = (...args: unknown[]) => {
    if (!corked) {
      corked = true;
      socket.cork();
      setImmediate(uncork);
    }
    return Reflect.apply(write, socket, args);
  };
}

type Found = (error: Error | null, address: string) => void;

function placeOf({ kind, nodes, name, tls, sentinelUsername, sentinelPassword }: RedisTarget) {
  if (kind !== "sentinel") return nodes[0] ?? {};
  return {
    sentinels: [...nodes],
    ...(name !== undefined && { name }),
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  };
}

/** Longer than BullMQ's blocking commands take. */
const defaultSilenceMs = 20_000;

// A firewall or load balancer can drop a connection silently, and TCP takes 15 minutes to notice. ioredis's own
// `socketTimeout` costs 10% of the throughput and outlives the connection it was set for.
function reconnectWhenSilent(redis: Redis, silenceMs: number): void {
  const probe = async () => {
    if (redis.status !== "ready") return;
    const timedOut = redis.ping().then(
      () => false,
      (error: Error) => error.message === "Command timed out",
    );
    const silent = await Promise.race([timedOut, delay(silenceMs, true, { ref: false })]);
    if (silent && redis.status === "ready") redis.disconnect(true);
  };
  const timer = setInterval(probe, silenceMs).unref();
  redis.once("end", () => clearInterval(timer));
}

/** The first version with `LPOS` (6.0.6) and `SMISMEMBER` (6.2). Debian 11 and later ship it. */
const minVersion = [6, 2] as const;

/** Options for {@link checkRedis} and {@link waitUntilReady}. */
export interface CheckOptions {
  /** The URL of the connection. */
  url: string;
  /** Its setting, which messages name. Default `REDIS_URL`. */
  setting?: string;
  timeoutMs: number;
}

/**
 * Checks that Redis can be trusted with the ledger: it must be recent enough and must not evict keys.
 *
 * @throws {RedisError} `redis_unsuitable` with the fix, or `redis_unavailable` if it does not answer in time
 */
export async function checkRedis(redis: RedisClient, options: CheckOptions): Promise<void> {
  await waitUntilReady(redis, options);
  let infos: string[];
  try {
    infos = await Promise.all(primaries(redis).map((primary) => primary.info()));
  } catch (cause) {
    throw await explainRedisFailure(cause, options);
  }
  for (const info of infos) checkInfo(info, isCluster(redis), options);
}

function checkInfo(info: string, toCluster: boolean, { setting = "REDIS_URL" }: CheckOptions): void {
  const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const version = value("redis_version") ?? "0.0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < minVersion[0] || (major === minVersion[0] && minor < minVersion[1])) {
    throw new RedisError("redis_unsuitable", `Redis ${version} is too old: use ${minVersion.join(".")} or later.`);
  }
  if (value("cluster_enabled") === "1" && !toCluster) {
    throw new RedisError(
      "redis_unsuitable",
      `${setting} names one node of a Redis Cluster: write redis-cluster:// (or rediss-cluster://) in place of redis://, ` +
        "so that Kindling connects to all its masters.",
    );
  }
  const policy = value("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction") {
    throw new RedisError(
      "redis_unsuitable",
      `Redis may evict keys (maxmemory-policy is ${policy}), including acknowledged events. ` +
        "Run CONFIG SET maxmemory-policy noeviction and set it in redis.conf too.",
    );
  }
}

/**
 * Waits until a new connection can be used: one whose commands time out refuses them before.
 *
 * @throws {RedisError} `redis_unavailable` if that takes longer than `timeoutMs`
 */
export async function waitUntilReady(redis: RedisClient, options: CheckOptions): Promise<void> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  let lastError: unknown;
  while (redis.status !== "ready") {
    try {
      await once(redis, "ready", { signal });
    } catch (error) {
      if (signal.aborted) throw await explainRedisFailure(lastError, options);
      // `once` also rejects on an error event, but ioredis keeps trying to connect. If it cannot select the database, it
      // would go on with database 0.
      lastError = error;
      if (isWrongSetting(error)) throw await explainRedisFailure(error, options);
    }
  }
}
