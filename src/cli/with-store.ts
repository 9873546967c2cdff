import { setTimeout as delay } from "node:timers/promises";
import { KindlingError } from "kindling";
import { type Config, loadConfig } from "../config.ts";
import { errorCode, RedisError } from "../errors.ts";
import { createLog } from "../log.ts";
import { openStore, type Store } from "../store.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Runs an operator's command on the store, which is closed whatever happens. Nothing is logged: standard output belongs
 * to the answer, and what goes wrong comes back as an error.
 *
 * @throws {ConfigurationError} {RedisError} besides what the task throws
 */
export async function withStore<T>(
  { env, world }: Terminal,
  task: (store: Store, config: Config) => Promise<T>,
): Promise<T> {
  const config = loadConfig(env);
  const store = await openStore(config, world, createLog("silent"));
  try {
    return await task(store, config);
  } catch (error) {
    throw asRedisError(error, store) ?? error;
  } finally {
    // Bounded, as closing a queue waits for a Redis that may be gone.
    const giveUp = new AbortController();
    await Promise.race([
      store.close().catch(() => undefined),
      delay(config.redisTimeoutMs, undefined, { signal: giveUp.signal }).catch(() => undefined),
    ]);
    giveUp.abort();
    store.redis.disconnect();
  }
}

function asRedisError(error: unknown, { redis }: Store): RedisError | undefined {
  if (!(error instanceof Error) || error instanceof KindlingError) return undefined;
  // What Redis itself answers carries the reason as its first word: READONLY, NOPERM, OOM, …
  if (error.name === "ReplyError") {
    return new RedisError("redis_unavailable", `Redis refuses: ${error.message}`, { cause: error });
  }
  if (redis.status === "ready" && errorCode(error) !== "redis_unavailable") return undefined;
  return new RedisError("redis_unavailable", "Redis does not answer any more: start it, or check REDIS_URL.", {
    cause: error,
  });
}
