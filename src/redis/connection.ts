import { setTimeout as delay } from "node:timers/promises";
import { Redis, type RedisOptions } from "ioredis";
import { RedisError } from "../errors.ts";

/** How a connection is used. */
export interface ConnectOptions {
  url: string;
  /**
   * Longest wait for an answer, in milliseconds: commands fail at once while Redis is away. Left out: commands wait
   * until it is back, as BullMQ's workers need.
   */
  timeoutMs?: number;
  /** Told of connection errors; ioredis goes on trying to reconnect. */
  onError: (error: Error) => void;
}

/** A connection to Redis, opened now; it reconnects by itself. */
export function connectRedis({ url, timeoutMs, onError }: ConnectOptions): Redis {
  const options: RedisOptions =
    timeoutMs === undefined
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: timeoutMs, connectTimeout: timeoutMs };
  const redis = new Redis(url, {
    ...options,
    keepAlive: 10_000,
    // After a failover that keeps connections open, the old primary takes no writes.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    retryStrategy: (attempt) => Math.min(50 * attempt, 1000),
  });
  redis.on("error", onError);
  leaveSilent(redis, timeoutMs ?? usualPatienceMs);
  return redis;
}

/** Longer than BullMQ's commands block. */
const usualPatienceMs = 20_000;

// What is between may forget a connection without a word: neither end would notice for a quarter of an hour. ioredis' own
// `socketTimeout` costs a tenth of the throughput, and outlives the connection that it was set for.
function leaveSilent(redis: Redis, patienceMs: number): void {
  const look = async () => {
    if (redis.status !== "ready") return;
    const timedOut = redis.ping().then(
      () => false,
      (error: Error) => error.message === "Command timed out",
    );
    const silent = await Promise.race([timedOut, delay(patienceMs, true, { ref: false })]);
    if (silent && redis.status === "ready") redis.disconnect(true);
  };
  const timer = setInterval(look, patienceMs).unref();
  redis.once("end", () => clearInterval(timer));
}

/** Oldest Redis that has all we use: `LPOS` (6.0.6) and `SMISMEMBER` (6.2); Debian 11 and later have it. */
const oldestVersion = [6, 2] as const;

/**
 * Refuses a Redis that must not hold the ledger: too old, or allowed to evict.
 *
 * @throws {RedisError} `redis_unsuitable` with the remedy, `redis_unavailable` when it does not answer in time
 */
export async function checkRedis(redis: Redis, timeoutMs: number): Promise<void> {
  await waitUntilReady(redis, timeoutMs);
  let info: string;
  try {
    info = await redis.info();
  } catch (cause) {
    throw new RedisError("redis_unavailable", "Redis answers, but refuses INFO: allow it for Kindling's user.", {
      cause,
    });
  }
  const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const version = value("redis_version") ?? "0.0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    throw new RedisError("redis_unsuitable", `Redis ${version} is too old: use ${oldestVersion.join(".")} or later.`);
  }
  const policy = value("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction") {
    throw new RedisError(
      "redis_unsuitable",
      `Redis may evict keys (maxmemory-policy is ${policy}), and with them acknowledged events. ` +
        "Run CONFIG SET maxmemory-policy noeviction and set it in redis.conf too.",
    );
  }
}

async function waitUntilReady(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === "ready") return;
  await new Promise<void>((resolve, reject) => {
    let last: unknown;
    const onError = (error: unknown) => {
      last = error;
    };
    const settle = (done: () => void) => () => {
      clearTimeout(timer);
      redis.off("ready", onReady).off("error", onError);
      done();
    };
    const onReady = settle(resolve);
    const timer = setTimeout(
      settle(() =>
        reject(
          new RedisError(
            "redis_unavailable",
            `Redis does not answer within ${timeoutMs} ms: start it, or check REDIS_URL.`,
            { cause: last },
          ),
        ),
      ),
      timeoutMs,
    );
    redis.on("ready", onReady).on("error", onError);
  });
}
