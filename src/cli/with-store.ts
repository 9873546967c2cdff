import { setTimeout as delay } from "node:timers/promises";
import { KindlingError } from "kindling";
import { type Config, isSetting, loadConfig, loadStoreConfig, type StoreConfig } from "../config.ts";
import { errorCode, RedisError } from "../errors.ts";
import { createLog } from "../log.ts";
import { hostsOf, parseRedisUrl } from "../redis-url.ts";
import { openStore, placesOf, type Store } from "../store.ts";
import { note } from "./output.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Opens the store, runs a command on it and closes it. Settings of Kinde are optional. Nothing is logged, because standard
 * output is for the result.
 *
 * @throws {ConfigurationError} {RedisError} {TenantError} in addition to the task's errors
 */
export async function withStore<T>(
  terminal: Terminal,
  task: (store: Store, config: StoreConfig) => Promise<T>,
): Promise<T> {
  return runOnStore(terminal, loadSettings(terminal, loadStoreConfig), task);
}

/** Runs a command that also calls Kinde, as {@link withStore}, and requires the settings of Kinde. */
export async function withKinde<T>(terminal: Terminal, task: (store: Store, config: Config) => Promise<T>): Promise<T> {
  return runOnStore(terminal, loadSettings(terminal, loadConfig), task);
}

/** Reads the settings of a command, and says on standard error which of them come from `.env`. */
export function loadSettings<T>(terminal: Terminal, load: (env: Terminal["env"]) => T): T {
  const { env, envFile } = terminal;
  const names = envFile?.names.filter(isSetting).sort() ?? [];
  if (envFile !== undefined && names.length > 0) note(terminal, `Settings from ${envFile.path}: ${names.join(", ")}`);
  return load(env);
}

async function runOnStore<C extends StoreConfig, T>(
  { world }: Terminal,
  config: C,
  task: (store: Store, config: C) => Promise<T>,
): Promise<T> {
  const store = await openStore(config, world, createLog("silent"));
  try {
    return await Promise.race([task(store, config), untilForeign(store)]);
  } catch (error) {
    throw asRedisError(error, store, config) ?? error;
  } finally {
    // Closing a queue waits for Redis, which can be gone.
    const giveUp = new AbortController();
    await Promise.race([
      store.close().catch(() => undefined),
      delay(config.redisTimeoutMs, undefined, { signal: giveUp.signal }).catch(() => undefined),
    ]);
    giveUp.abort();
    store.redis.disconnect();
    store.publicRedis.disconnect();
  }
}

/** Rejects once the store belongs to another tenant. */
function untilForeign({ foreign }: Store): Promise<never> {
  return new Promise((_, reject) => {
    foreign.addEventListener("abort", () => reject(foreign.reason), { once: true });
  });
}

function asRedisError(error: unknown, { redis, publicRedis }: Store, config: StoreConfig): RedisError | undefined {
  if (!(error instanceof Error) || error instanceof KindlingError) return undefined;
  const places = placesOf(config);
  const host = places.map(({ url }) => hostsOf(parseRedisUrl(url))).join(" or ");
  // Redis starts its error messages with the reason: READONLY, NOPERM, OOM, …
  if (error.name === "ReplyError") {
    return new RedisError("redis_unavailable", `Redis at ${host} rejects a command: ${error.message}`, {
      cause: error,
    });
  }
  const isReady = redis.status === "ready" && publicRedis.status === "ready";
  if (isReady && errorCode(error) !== "redis_unavailable") return undefined;
  return new RedisError(
    "redis_unavailable",
    `The connection to Redis at ${host} is lost: check that Redis is running, or correct ${places.map(({ setting }) => setting).join(" and ")}.`,
    { cause: error },
  );
}
