import { once } from "node:events";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { Redis, type RedisOptions } from "ioredis";
import { RedisError } from "../errors.ts";
import { explainRedisFailure, isWrongSetting } from "./explain-failure.ts";

/** Options for {@link connectRedis}. */
export interface ConnectOptions {
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

/** Opens a connection to Redis that reconnects automatically. */
export function connectRedis({ url, timeoutMs, autoPipelining = false, onError }: ConnectOptions): Redis {
  const options: RedisOptions =
    timeoutMs === undefined
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: timeoutMs, connectTimeout: timeoutMs };
  const redis = new Redis(url, {
    ...options,
    enableAutoPipelining: autoPipelining,
    keepAlive: 10_000,
    // After a failover that keeps connections open, the old primary refuses writes.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    retryStrategy: (attempt) => Math.min(50 * attempt, 1000),
  });
  redis.on("error", onError);
  redis.on("connect", () => writeTogether(redis.stream));
  reconnectWhenSilent(redis, timeoutMs ?? defaultSilenceMs);
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

/**
 * Checks that Redis can be trusted with the ledger: it must be recent enough and must not evict keys.
 *
 * @throws {RedisError} `redis_unsuitable` with the fix, or `redis_unavailable` if it does not answer in time
 */
export async function checkRedis(redis: Redis, timeoutMs: number): Promise<void> {
  await waitUntilReady(redis, timeoutMs);
  let info: string;
  try {
    info = await redis.info();
  } catch (cause) {
    throw await explainRedisFailure(redis, { cause, timeoutMs });
  }
  const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const version = value("redis_version") ?? "0.0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < minVersion[0] || (major === minVersion[0] && minor < minVersion[1])) {
    throw new RedisError("redis_unsuitable", `Redis ${version} is too old: use ${minVersion.join(".")} or later.`);
  }
  if (value("cluster_enabled") === "1") {
    throw new RedisError(
      "redis_unsuitable",
      "Redis runs in cluster mode, which Kindling does not support: use a single primary, with replicas if you like.",
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
 * Returns the id of the Redis process that serves the connection. Another id means a restart or a failover, after which
 * writes can be missing. Empty if the service hides it.
 */
export async function readRunId(redis: Redis): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redis.info("server"))?.[1] ?? "";
}

/**
 * Waits until a new connection can be used: one whose commands time out refuses them before.
 *
 * @throws {RedisError} `redis_unavailable` if that takes longer than `timeoutMs`
 */
export async function waitUntilReady(redis: Redis, timeoutMs: number): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  let lastError: unknown;
  while (redis.status !== "ready") {
    try {
      await once(redis, "ready", { signal });
    } catch (error) {
      if (signal.aborted) throw await explainRedisFailure(redis, { cause: lastError, timeoutMs });
      // `once` also rejects on an error event, but ioredis keeps trying to connect. With a wrong database it would go on
      // with database 0.
      lastError = error;
      if (isWrongSetting(error)) throw await explainRedisFailure(redis, { cause: error, timeoutMs });
    }
  }
}
