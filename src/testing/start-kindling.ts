import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { createEmulator, type Emulator, type EmulatorOptions, type TruthUser, type UserInput } from "kinde-emulator";
import { createReader, createWriter, type Definitions, KindlingError, type Reader, type Writer } from "kindling";
import { RedisError } from "../errors.ts";
import { serve } from "../http/serve.ts";
import { createKeys, type Keys } from "../redis/keys.ts";
import { createLedger } from "../redis/ledger.ts";
import { createService, type Service } from "../service/create-service.ts";
import { findRedisServer, startRedisServer } from "./redis-server.ts";

/** Options for {@link startKindling}. */
export interface TestKindlingOptions<V extends Record<string, unknown>> {
  /** The default export of the flags file. */
  definitions: Definitions<V>;
  /** Users to create in Kinde, whose records are there once the promise resolves. Unknown properties are created. */
  users?: readonly UserInput[];
  /** A Redis to use, under a random prefix that is emptied at the end. Default: a server of its own, from `PATH`. */
  redisUrl?: string;
  /** Options for the emulator. */
  emulator?: EmulatorOptions;
  /** Further settings of the service by name, such as `KINDLING_REFRESH_ON_SIGN_IN`. */
  env?: Readonly<Record<string, string>>;
}

/**
 * A running Kindling with its Kinde.
 *
 * @typeParam V Flag values by name
 */
export interface TestKindling<V extends Record<string, unknown>> {
  /** The emulated Kinde: change users, mint tokens, set faults. */
  readonly emulator: Emulator;
  /** The users of the options, as Kinde holds them. */
  readonly users: readonly TruthUser[];
  readonly reader: Reader<V>;
  readonly writer: Writer<V>;
  /** URL of the service. */
  readonly url: string;
  /**
   * Settings for your app, to pass to its process: `REDIS_URL`, `KINDLING_PREFIX`, `KINDLING_URL`, `KINDLING_API_TOKEN`,
   * `KINDE_DOMAIN`, and for Kinde's SDK `KINDE_ISSUER_URL`, `KINDE_CLIENT_ID` and `KINDE_CLIENT_SECRET`.
   */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Resolves once Redis holds what Kinde holds: every webhook is delivered and processed, and every user is refreshed,
   * because Kinde announces no change of a property.
   *
   * @throws {KindlingError} `service_unavailable` if users are not refreshed within 30 s, for example because of faults
   */
  synced(): Promise<void>;
  /** Stops everything and removes the keys. */
  close(): Promise<void>;
}

/**
 * Starts Kindling's endpoint and workers, an emulated Kinde and, unless one is given, Redis, in this process.
 *
 * @throws {RedisError} `redis_unavailable` if there is neither `redisUrl` nor a Redis server on `PATH`
 *
 * @example
 * ```ts
 * import { startKindling } from "kindling-server/testing";
 * import definitions from "./kindling.flags.js";
 *
 * const kindling = await startKindling({ definitions, users: [{ id: "kp_a", properties: { onboarded: "true" } }] });
 * const { flags } = await kindling.reader.get("kp_a");
 * await kindling.close();
 * ```
 */
export async function startKindling<V extends Record<string, unknown>>(
  options: TestKindlingOptions<V>,
): Promise<TestKindling<V>> {
  const { definitions, users: inputs = [] } = options;
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const redisUrl = options.redisUrl ?? (await startOwnRedis(closers));
    const emulator = await createEmulator({ retryTimeScale: 0.01, ...options.emulator });
    closers.push(emulator.close);
    const prefix = `test-${randomBytes(6).toString("hex")}`;
    const token = randomBytes(16).toString("hex");
    const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1 });
    redis.on("error", () => undefined);
    closers.push(async () => {
      await removeKeys(redis, prefix);
      redis.disconnect();
    });

    const service = await createService({
      definitions,
      env: settings(emulator, { redisUrl, prefix, token }, options.env),
    });
    closers.push(service.close);
    service.startWorkers();
    const server = await serve(service.app, {
      host: "127.0.0.1",
      port: 0,
      requestTimeoutMs: 10_000,
      maxConnections: 1_000,
    });
    closers.push(server.close);
    const url = `http://127.0.0.1:${server.port}`;
    emulator.webhooks.register({ url: `${url}/webhooks/kinde` });

    const reader = createReader({ redis, definitions, prefix });
    closers.push(async () => reader.close());
    const synced = createSynced(emulator, service, redis, createKeys(prefix));
    const users = inputs.map((input) => createUser(emulator, input));
    const [application] = emulator.applications.list();
    await synced();
    return {
      emulator,
      users,
      reader,
      writer: createWriter({ url, token, definitions }),
      url,
      env: {
        REDIS_URL: redisUrl,
        KINDLING_PREFIX: prefix,
        KINDLING_URL: url,
        KINDLING_API_TOKEN: token,
        KINDE_DOMAIN: emulator.url,
        KINDE_ISSUER_URL: emulator.url,
        KINDE_CLIENT_ID: application?.clientId ?? "",
        KINDE_CLIENT_SECRET: application?.clientSecret ?? "",
      },
      synced,
      close,
    };
  } catch (error) {
    // The first error says why; closing can fail for the same reason.
    await close().catch(() => undefined);
    throw error;
  }
}

async function startOwnRedis(closers: (() => Promise<unknown>)[]): Promise<string> {
  const binary = findRedisServer();
  if (binary === undefined) {
    throw new RedisError(
      "redis_unavailable",
      "There is no redis-server or valkey-server on PATH: install one, or pass redisUrl.",
    );
  }
  const server = await startRedisServer({ binary });
  closers.push(server.close);
  return server.url;
}

function settings(
  emulator: Emulator,
  { redisUrl, prefix, token }: { redisUrl: string; prefix: string; token: string },
  given: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    KINDE_DOMAIN: emulator.url,
    KINDE_MANAGEMENT_CLIENT_ID: emulator.clientId,
    KINDE_MANAGEMENT_CLIENT_SECRET: emulator.clientSecret,
    REDIS_URL: redisUrl,
    KINDLING_PREFIX: prefix,
    KINDLING_API_TOKEN: token,
    KINDLING_LOG_LEVEL: "silent",
    KINDLING_CALLS_PER_MINUTE: "100000",
    // Tests expect what they caused, not what a schedule did.
    KINDLING_SWEEP_INTERVAL: "0s",
    KINDLING_AUDIT_INTERVAL: "0s",
    KINDLING_BURST_QUIET: "0ms",
    KINDLING_RETRY_BASE: "100ms",
    // The emulator's answers are current: no written value has to override them, or hide a later change from `synced`.
    KINDLING_WRITE_SETTLE: "1ms",
    KINDLING_SHUTDOWN_TIMEOUT: "3s",
    ...given,
  };
}

function createUser({ kinde }: Emulator, input: UserInput): TruthUser {
  for (const key of Object.keys(input.properties ?? {})) {
    try {
      kinde.createProperty(key);
    } catch {
      // It exists.
    }
  }
  return kinde.createUser(input);
}

const syncTimeoutMs = 30_000;

function createSynced(emulator: Emulator, { flows }: Service, redis: Redis, keys: Keys): () => Promise<void> {
  const ledgers = (["users", "fanouts"] as const).map((name) => createLedger({ redis, keys, name, now: Date.now }));
  const outstanding = async () => {
    const sizes = await Promise.all(ledgers.map((ledger) => ledger.size()));
    return sizes.some(({ size }) => size > 0);
  };
  return async () => {
    await emulator.deliveries.settled();
    const deadline = performance.now() + syncTimeoutMs;
    while (await outstanding()) {
      if (performance.now() > deadline) {
        throw new KindlingError(
          "service_unavailable",
          `Some users were not refreshed within ${syncTimeoutMs / 1000} s: clear the emulator's faults, or read its stats.`,
        );
      }
      await delay(10);
    }
    const { signal } = new AbortController();
    for (const userId of emulator.kinde.userIds()) await flows.refreshUser(userId, { priority: "webhook", signal });
  };
}

async function removeKeys(redis: Redis, prefix: string): Promise<void> {
  for await (const keys of redis.scanStream({ match: `*${prefix}*`, count: 1_000 })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
}
