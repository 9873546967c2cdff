import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import type { Emulator, EmulatorOptions } from "kinde-emulator";
import { type Config, loadConfig } from "../../src/config.ts";
import { createFetch } from "../../src/fetch.ts";
import { createLog, type Log } from "../../src/log.ts";
import { runServer } from "../../src/service/run-server.ts";
import { runWorkers } from "../../src/service/run-workers.ts";
import { openStore, type Store } from "../../src/store.ts";
import type { Running, World } from "../../src/world.ts";
import { startEmulator } from "./emulator.ts";
import { testRedisUrl } from "./redis-url.ts";

/** A whole deployment: emulator, server and workers over real HTTP and a real Redis. */
export interface Stack {
  emulator: Emulator;
  config: Config;
  store: Store;
  log: Log;
  world: World;
  /** URL that Kinde delivers to. */
  webhookUrl: string;
  startWorkers(): Promise<Running>;
  /** Registers the webhook at the emulator, for all events. */
  subscribe(): void;
  /** Reads the record of a user, as an app server would. */
  record(userId: string): Promise<Record<string, unknown> | null>;
  close(): Promise<void>;
}

export interface StackOptions {
  emulator?: EmulatorOptions;
  /** Settings by name. */
  env?: Record<string, string>;
  world?: Partial<World>;
  /** Start workers. Default: true. */
  workers?: boolean;
  redisUrl?: string;
  /** Default: a silent log. */
  log?: Log;
}

/** Returns a prefix that no other test uses. */
export function uniquePrefix(): string {
  return `test-${randomBytes(6).toString("hex")}`;
}

/** Returns the settings for a test. */
export function testConfig(emulator: Emulator, env: Record<string, string> = {}, redisUrl = testRedisUrl()): Config {
  return loadConfig({
    KINDE_DOMAIN: emulator.url,
    KINDE_MANAGEMENT_CLIENT_ID: emulator.clientId,
    KINDE_MANAGEMENT_CLIENT_SECRET: emulator.clientSecret,
    REDIS_URL: redisUrl,
    HOST: "127.0.0.1",
    PORT: "0",
    KINDLING_PREFIX: uniquePrefix(),
    KINDLING_FLAGS: fileURLToPath(new URL("../../kindling.flags.ts", import.meta.url)),
    KINDLING_LOG_LEVEL: "silent",
    KINDLING_CALLS_PER_MINUTE: "100000",
    KINDLING_CALLS_AT_ONCE: "100",
    KINDLING_SWEEP_INTERVAL: "0s",
    KINDLING_AUDIT_INTERVAL: "0s",
    ...env,
  });
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const emulator = await startEmulator({ retryTimeScale: 0.01, ...options.emulator });
  const config = testConfig(emulator, options.env, options.redisUrl);
  const world: World = { fetch: createFetch(), now: Date.now, ...options.world };
  const log = options.log ?? createLog(config.logLevel);
  const store = await openStore(config, world, log);
  const server = await runServer(config, world, log, store);
  const running: Running[] = [];
  const startWorkers = async () => {
    const workers = await runWorkers(config, world, log, store);
    running.push(workers);
    return workers;
  };
  if (options.workers ?? true) await startWorkers();
  const webhookUrl = `http://127.0.0.1:${server.port}/webhooks/kinde`;
  return {
    emulator,
    config,
    store,
    log,
    world,
    webhookUrl,
    startWorkers,
    subscribe: () => {
      emulator.webhooks.register({ url: webhookUrl });
    },
    record: async (userId) => JSON.parse((await store.publicRedis.get(store.keys.flags(userId))) ?? "null"),
    async close() {
      await emulator.close();
      await server.close();
      await Promise.all(running.map((workers) => workers.close()));
      await store.close();
      await dropKeys(config);
      if (config.internalRedisUrl !== config.redisUrl) await dropKeys({ ...config, redisUrl: config.internalRedisUrl });
    },
  };
}

/** Removes a test's keys from the shared Redis. */
export async function dropKeys({ redisUrl, prefix }: Config): Promise<void> {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1 });
  redis.on("error", () => undefined);
  try {
    const keys = await redis.keys(`*${prefix}*`);
    if (keys.length > 0) await redis.del(keys);
  } catch {
    // A test that breaks its own Redis has nothing to remove.
  }
  redis.disconnect();
}
