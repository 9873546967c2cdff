import { z } from "zod";
import { type Environment, readEnvironment } from "./environment.ts";
import { ConfigurationError } from "./errors.ts";
import {
  type ApiToken,
  bearerToken,
  count,
  dashboardTokens,
  dashboardUrl,
  domain,
  duration,
  flag,
  listOf,
  loopback,
  namedTokens,
  origin,
  parts,
  pushSecrets,
  pushUrl,
  redisUrl,
  scopes,
  share,
  trustedProxies,
  units,
} from "./setting-values.ts";

const fields = z.object({
  KINDE_DOMAIN: domain,
  KINDE_MANAGEMENT_CLIENT_ID: z.string("is missing: the client id of your machine-to-machine application").min(1),
  KINDE_MANAGEMENT_CLIENT_SECRET: z.string("is missing: the secret of your machine-to-machine application").min(1),
  KINDE_AUDIENCE: z.url("must be a URL").optional(),
  KINDE_ISSUER_URL: z.url({ protocol: /^https?$/, message: "must be a URL" }).optional(),
  REDIS_URL: redisUrl.default("redis://127.0.0.1:6379"),
  KINDLING_INTERNAL_REDIS_URL: redisUrl.optional(),
  HOST: z.string().min(1).default("0.0.0.0"),
  PORT: count(3000, { min: 0, max: 65_535 }),
  KINDLING_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9:_-]{1,64}$/, "may contain only letters, digits, ':', '_' and '-'")
    .default("kindling"),
  KINDLING_FLAGS: z.string().min(1).default("kindling.flags.ts"),
  KINDLING_LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
  KINDLING_PROFILE: parts,
  KINDLING_TOKEN_STORE: z.enum(["redis", "memory"], "must be redis or memory").default("redis"),
  KINDLING_REFRESH_ON_SIGN_IN: flag(true),
  KINDLING_MAX_BODY_BYTES: count(65_536, { min: 1024 }),
  KINDLING_MAX_CONNECTIONS: count(1_000, { max: 100_000 }),
  KINDLING_TRUSTED_PROXIES: trustedProxies,
  KINDLING_REFUSED_PER_MINUTE: count(60),
  KINDLING_ACCESS_LOG: share(0),
  KINDLING_EVENT_MAX_AGE: duration("48h", { max: 365 * units.d }),
  KINDLING_EVENT_MAX_SKEW: duration("5m"),
  KINDLING_KEYS_MAX_AGE: duration("10m"),
  KINDLING_KEYS_COOLDOWN: duration("30s"),
  KINDLING_REQUEST_TIMEOUT: duration("10s"),
  KINDLING_REDIS_TIMEOUT: duration("2s"),
  KINDLING_REDIS_REPLICAS: count(0, { min: 0, max: 10 }),
  KINDLING_KINDE_TIMEOUT: duration("10s"),
  KINDLING_CALLS_PER_MINUTE: count(1200),
  KINDLING_CALLS_AT_ONCE: count(20),
  KINDLING_REFRESH_CONCURRENCY: count(20),
  KINDLING_BULK_CONCURRENCY: count(5),
  KINDLING_REQUEST_CONCURRENCY: count(5),
  KINDLING_REFRESH_ATTEMPTS: count(20),
  KINDLING_RETRY_BASE: duration("1s"),
  KINDLING_RETRY_MAX: duration("15m"),
  KINDLING_BURST_QUIET: duration("250ms", { min: 0 }),
  KINDLING_BURST_MAX: duration("2s", { min: 0 }),
  KINDLING_WATCH_INTERVAL: duration("30s"),
  KINDLING_FAILED_RETRY: duration("1h"),
  KINDLING_TOMBSTONE_TTL: duration("30d", { min: units.h, max: 3650 * units.d }),
  KINDLING_ABSENCE_CHECKS: count(3, { max: 100 }),
  KINDLING_ABSENCE_SPAN: duration("10m", { min: 0 }),
  KINDLING_ABSENCE_LIMIT: count(20, { min: 0 }),
  KINDLING_SWEEP_INTERVAL: duration("15m", { min: 0 }),
  KINDLING_SWEEP_SHARE: share(0.1),
  KINDLING_SWEEP_PAGE_SIZE: count(500, { max: 500 }),
  KINDLING_SWEEP_PACE: duration("0ms", { min: 0 }),
  KINDLING_SWEEP_BACKLOG: count(5_000),
  KINDLING_RECENT_USERS: count(500, { min: 0, max: 10_000 }),
  KINDLING_RECENT_SHARE: share(0.1),
  KINDLING_RECENT_INTERVAL: duration("30s"),
  KINDLING_INDEX_LAG: duration("2m", { min: 0 }),
  KINDLING_EXTRAS_MAX_AGE: duration("7d"),
  KINDLING_ORGANIZATION_MAX_AGE: duration("15m"),
  KINDLING_AUDIT_INTERVAL: duration("1h", { min: 0 }),
  KINDLING_AUDIT_SAMPLE: count(50, { min: 0, max: 10_000 }),
  KINDLING_WEBHOOK_URL: z.url({ protocol: /^https?$/, message: "must be a URL" }).optional(),
  KINDLING_METRICS_HOST: z.string().min(1).default("127.0.0.1"),
  KINDLING_METRICS_PORT: z
    .string()
    .regex(/^\d{1,5}$/, "must be a port")
    .transform(Number)
    .refine((port) => port <= 65_535, "must be a port")
    .optional(),
  KINDLING_WRITE_SETTLE: duration("30s"),
  KINDLING_API_TOKEN: bearerToken.optional(),
  KINDLING_API_TOKENS: namedTokens,
  KINDLING_API_CALLS_PER_MINUTE: count(600),
  KINDLING_API_READS_PER_MINUTE: count(600_000),
  KINDLING_CLIENT_IDS: listOf(
    z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, "must list client ids of your applications"),
    50,
  ),
  KINDLING_USER_READS_PER_MINUTE: count(600),
  KINDLING_CORS_ORIGINS: listOf(origin, 100),
  KINDLING_CHANGES_LENGTH: count(0, { min: 0, max: 10_000_000 }),
  KINDLING_PUSH_URLS: listOf(pushUrl, 10),
  KINDLING_PUSH_SECRETS: listOf(pushSecrets, 10),
  KINDLING_PUSH_TIMEOUT: duration("10s", { max: 60_000 }),
  KINDLING_MAX_STREAMS: count(500, { min: 0, max: 100_000 }),
  KINDLING_STREAM_HEARTBEAT: duration("20s", { min: 1_000, max: units.h }),
  KINDLING_DASHBOARD_HOST: z.string().min(1).default("127.0.0.1"),
  KINDLING_DASHBOARD_PORT: count(3002, { min: 0, max: 65_535 }),
  KINDLING_DASHBOARD_URL: dashboardUrl.optional(),
  KINDLING_DASHBOARD_TOKENS: dashboardTokens,
  KINDLING_DASHBOARD_CLIENT_ID: z.string().min(1).optional(),
  KINDLING_DASHBOARD_CLIENT_SECRET: z.string().min(1).optional(),
  KINDLING_DASHBOARD_SESSION: duration("12h", { min: units.m, max: 7 * units.d }),
  KINDLING_TRAIL_LENGTH: count(100_000, { min: 0, max: 10_000_000 }),
  KINDLING_SHUTDOWN_TIMEOUT: duration("20s"),
});

interface PushSettings {
  KINDLING_PUSH_URLS: readonly string[];
  KINDLING_PUSH_SECRETS: readonly unknown[];
}

const hasSecretPerUrl = ({ KINDLING_PUSH_URLS: urls, KINDLING_PUSH_SECRETS: secrets }: PushSettings) =>
  urls.length === secrets.length;

const secretPerUrl = {
  path: ["KINDLING_PUSH_SECRETS"],
  message: "must list one secret for each URL of KINDLING_PUSH_URLS, in the same order",
};

interface DashboardSettings {
  KINDLING_DASHBOARD_HOST: string;
  KINDLING_DASHBOARD_URL?: string | undefined;
  KINDLING_DASHBOARD_CLIENT_ID?: string | undefined;
  KINDLING_DASHBOARD_CLIENT_SECRET?: string | undefined;
}

const isWholeApplication = (env: DashboardSettings) =>
  (env.KINDLING_DASHBOARD_CLIENT_ID === undefined) === (env.KINDLING_DASHBOARD_CLIENT_SECRET === undefined);

const wholeApplication = {
  path: ["KINDLING_DASHBOARD_CLIENT_SECRET"],
  message: "and KINDLING_DASHBOARD_CLIENT_ID belong together: set both, or none",
};

// Requests are checked against it, so that no other site can lead a browser here.
const hasKnownUrl = (env: DashboardSettings) =>
  isLoopbackHost(env.KINDLING_DASHBOARD_HOST) || env.KINDLING_DASHBOARD_URL !== undefined;

const knownUrl = {
  path: ["KINDLING_DASHBOARD_URL"],
  message: "is missing: KINDLING_DASHBOARD_HOST is no loopback address, so set the URL that browsers open",
};

/** Returns whether only this machine reaches a host name or address. */
export function isLoopbackHost(host: string): boolean {
  return loopback.test(host) || host === "::1" || host.endsWith(".localhost");
}

interface ApiTokenSettings {
  KINDLING_API_TOKEN?: string | undefined;
  KINDLING_API_TOKENS: readonly ApiToken[];
}

const hasDistinctTokens = ({ KINDLING_API_TOKEN: single, KINDLING_API_TOKENS: named }: ApiTokenSettings) =>
  single === undefined || named.every(({ name, value }) => value !== single && name !== "KINDLING_API_TOKEN");

const distinctTokens = {
  path: ["KINDLING_API_TOKENS"],
  message: "must not repeat the token or the name of KINDLING_API_TOKEN",
};

const schema = fields
  .refine(hasSecretPerUrl, secretPerUrl)
  .refine(hasDistinctTokens, distinctTokens)
  .refine(isWholeApplication, wholeApplication)
  .refine(hasKnownUrl, knownUrl);

const storeSchema = fields
  .extend({
    KINDE_DOMAIN: domain.optional(),
    KINDE_MANAGEMENT_CLIENT_ID: z.string().optional(),
    KINDE_MANAGEMENT_CLIENT_SECRET: z.string().optional(),
  })
  .refine(hasSecretPerUrl, secretPerUrl)
  .refine(hasDistinctTokens, distinctTokens)
  .refine(isWholeApplication, wholeApplication)
  .refine(hasKnownUrl, knownUrl);

/** The names of all settings in the environment, without the `_FILE` variants of {@link secretNames}. */
export const settingNames: readonly string[] = Object.keys(fields.shape);

/** Settings that hold a secret. `<name>_FILE` names a file to read it from, such as a mounted secret or `/dev/stdin`. */
export const secretNames = [
  "KINDE_MANAGEMENT_CLIENT_SECRET",
  "REDIS_URL",
  "KINDLING_INTERNAL_REDIS_URL",
  "KINDLING_API_TOKEN",
  "KINDLING_API_TOKENS",
  "KINDLING_PUSH_SECRETS",
  // URLs can hold credentials, or a token in their path.
  "KINDLING_PUSH_URLS",
  "KINDLING_WEBHOOK_URL",
  "KINDLING_DASHBOARD_TOKENS",
  "KINDLING_DASHBOARD_CLIENT_SECRET",
] as const;

/** Returns whether an environment variable is a setting. */
export function isSetting(name: string): boolean {
  return settingNames.includes(name) || secretNames.some((secret) => name === `${secret}_FILE`);
}

/** Every setting, validated and with its default. Durations are in milliseconds. */
export type Config = ReturnType<typeof toConfig>;

/** The settings of a command that calls Redis only, which works without those of Kinde. */
export type StoreConfig = Config | (ReturnType<typeof serviceConfig> & { domain?: string; clientId?: undefined });

/**
 * Reads the settings. Nothing else reads the environment.
 *
 * @throws {ConfigurationError} that names every invalid setting, each on a line of its own
 */
export function loadConfig(env: Environment = process.env): Config {
  return toConfig(parseSettings(schema, env));
}

/**
 * Reads the settings of a command that calls Redis only. Settings of Kinde are optional, and checked if they are set.
 *
 * @throws {ConfigurationError} as {@link loadConfig}
 */
export function loadStoreConfig(env: Environment = process.env): StoreConfig {
  const settings = parseSettings(storeSchema, env);
  const { KINDE_DOMAIN, KINDE_MANAGEMENT_CLIENT_ID, KINDE_MANAGEMENT_CLIENT_SECRET } = settings;
  const config = serviceConfig(settings);
  if (
    KINDE_DOMAIN === undefined ||
    KINDE_MANAGEMENT_CLIENT_ID === undefined ||
    KINDE_MANAGEMENT_CLIENT_SECRET === undefined
  ) {
    return { ...config, ...(KINDE_DOMAIN !== undefined && { domain: KINDE_DOMAIN }) };
  }
  const application = { KINDE_DOMAIN, KINDE_MANAGEMENT_CLIENT_ID, KINDE_MANAGEMENT_CLIENT_SECRET };
  return toConfig({ ...settings, ...application });
}

function parseSettings<Shape extends z.ZodRawShape>(shape: z.ZodObject<Shape>, env: Environment) {
  const { settings, problems } = readEnvironment(env, { names: settingNames, secrets: secretNames });
  const result = shape.safeParse(settings);
  const invalid = result.error?.issues.map(({ path, message }) => `${String(path[0])} ${message}`) ?? [];
  // A secret whose file cannot be read is reported by its file, not as missing.
  const reported = invalid.filter(
    (problem) => !problems.some((other) => other.startsWith(`${problem.split(" ")[0]}_FILE `)),
  );
  if (!result.success || problems.length > 0) throw new ConfigurationError([...problems, ...reported]);
  return result.data;
}

const defaultChangesKept = 100_000;

function originOf(url: string | undefined): string | undefined {
  const origin = url === undefined ? undefined : new URL(url).origin;
  // An audience can be an URN, which has no origin.
  return origin === "null" ? undefined : origin;
}

function toConfig(env: z.output<typeof schema>) {
  return { ...kindeConfig(env), ...serviceConfig(env) };
}

function kindeConfig(env: z.output<typeof schema>) {
  return {
    /** Origin of the Kinde tenant, e.g. `https://acme.kinde.com`. */
    domain: env.KINDE_DOMAIN,
    clientId: env.KINDE_MANAGEMENT_CLIENT_ID,
    clientSecret: env.KINDE_MANAGEMENT_CLIENT_SECRET,
    /** Audience of the Management API token. */
    audience: env.KINDE_AUDIENCE ?? `${env.KINDE_DOMAIN}/api`,
    /** Accepted in the `iss` of a webhook. Behind a custom domain, the audience names the original `*.kinde.com`. */
    issuers: [env.KINDE_DOMAIN, env.KINDE_AUDIENCE, env.KINDE_ISSUER_URL].flatMap((url) => originOf(url) ?? []),
  };
}

function serviceConfig(env: z.output<typeof storeSchema>) {
  return {
    /** Redis of the records and of whatever else app servers use. */
    redisUrl: env.REDIS_URL,
    /** Redis of the ledger, the queues and all else. */
    internalRedisUrl: env.KINDLING_INTERNAL_REDIS_URL ?? env.REDIS_URL,
    host: env.HOST,
    port: env.PORT,
    prefix: env.KINDLING_PREFIX,
    flagsFile: env.KINDLING_FLAGS,
    logLevel: env.KINDLING_LOG_LEVEL,
    /** Parts of a profile that records keep. */
    profile: env.KINDLING_PROFILE,
    tokenStore: env.KINDLING_TOKEN_STORE,
    refreshOnSignIn: env.KINDLING_REFRESH_ON_SIGN_IN,
    http: {
      maxBodyBytes: env.KINDLING_MAX_BODY_BYTES,
      maxConnections: env.KINDLING_MAX_CONNECTIONS,
      requestTimeoutMs: env.KINDLING_REQUEST_TIMEOUT,
      /** Whose `X-Forwarded-For` names the client. */
      trustedProxies: env.KINDLING_TRUSTED_PROXIES,
      /** Refused requests after which a source gets 429. */
      refusedPerMinute: env.KINDLING_REFUSED_PER_MINUTE,
      /** Share of requests that leave a line in the log. */
      accessLogShare: env.KINDLING_ACCESS_LOG,
    },
    event: { maxAgeMs: env.KINDLING_EVENT_MAX_AGE, maxSkewMs: env.KINDLING_EVENT_MAX_SKEW },
    keys: { maxAgeMs: env.KINDLING_KEYS_MAX_AGE, cooldownMs: env.KINDLING_KEYS_COOLDOWN },
    redisTimeoutMs: env.KINDLING_REDIS_TIMEOUT,
    /** Replicas that must have an event or a write before it is acknowledged. */
    redisReplicas: env.KINDLING_REDIS_REPLICAS,
    kindeTimeoutMs: env.KINDLING_KINDE_TIMEOUT,
    calls: { perMinute: env.KINDLING_CALLS_PER_MINUTE, atOnce: env.KINDLING_CALLS_AT_ONCE },
    concurrency: {
      refresh: env.KINDLING_REFRESH_CONCURRENCY,
      bulk: env.KINDLING_BULK_CONCURRENCY,
      requests: env.KINDLING_REQUEST_CONCURRENCY,
    },
    retry: {
      attempts: env.KINDLING_REFRESH_ATTEMPTS,
      baseMs: env.KINDLING_RETRY_BASE,
      maxMs: env.KINDLING_RETRY_MAX,
    },
    burst: { quietMs: env.KINDLING_BURST_QUIET, maxMs: env.KINDLING_BURST_MAX },
    watchIntervalMs: env.KINDLING_WATCH_INTERVAL,
    failedRetryMs: env.KINDLING_FAILED_RETRY,
    tombstoneTtlMs: env.KINDLING_TOMBSTONE_TTL,
    /** When a user with a record that Kinde does not find counts as deleted. */
    absence: {
      observations: env.KINDLING_ABSENCE_CHECKS,
      /** Least time between two observations. */
      gapMs: Math.ceil(env.KINDLING_ABSENCE_SPAN / Math.max(1, env.KINDLING_ABSENCE_CHECKS - 1)),
      /** Users that can be absent at the same time; 0: any number. */
      limit: env.KINDLING_ABSENCE_LIMIT,
    },
    sweep: {
      /** Longest time between the starts of two sweeps; 0: no scheduled sweeps. */
      intervalMs: env.KINDLING_SWEEP_INTERVAL,
      /** Share of the call budget that sweeps use. */
      share: env.KINDLING_SWEEP_SHARE,
      pageSize: env.KINDLING_SWEEP_PAGE_SIZE,
      /** Least time between two pages. */
      paceMs: env.KINDLING_SWEEP_PACE,
      /** A sweep pauses while more refreshes than this wait in the bulk queue, without those of fan-outs and operators. */
      backlog: env.KINDLING_SWEEP_BACKLOG,
      /** How far Kinde's search index may lag behind a write. */
      indexLagMs: env.KINDLING_INDEX_LAG,
      /** Age at which roles, permissions and billing, which the search does not show, are fetched again. */
      extrasMaxAgeMs: env.KINDLING_EXTRAS_MAX_AGE,
    },
    /** Checks of recently active users. */
    recent: {
      /** Users that count as active at most; 0: no checks. */
      users: env.KINDLING_RECENT_USERS,
      /** Share of the call budget that checks use; 0: no checks. */
      share: env.KINDLING_RECENT_SHARE,
      /** Shortest time between two checks of a user. */
      intervalMs: env.KINDLING_RECENT_INTERVAL,
    },
    /** Age at which properties and agreements of organizations are fetched again. */
    organizationMaxAgeMs: env.KINDLING_ORGANIZATION_MAX_AGE,
    audit: {
      /** 0: no scheduled audits. */
      intervalMs: env.KINDLING_AUDIT_INTERVAL,
      /** Records each audit checks. */
      sample: env.KINDLING_AUDIT_SAMPLE,
    },
    /** The public URL of our webhook route; absent: any of Kinde's webhooks that ends in that route is ours. */
    webhookUrl: env.KINDLING_WEBHOOK_URL,
    /** Where metrics are served; absent: nowhere. */
    metricsPort: env.KINDLING_METRICS_PORT,
    metricsHost: env.KINDLING_METRICS_HOST,
    /** How long after a change Kinde may answer with an older value. */
    writeSettleMs: env.KINDLING_WRITE_SETTLE,
    /** How many changes of flags their stream keeps; 0: none are written. */
    changesKept: env.KINDLING_CHANGES_LENGTH || (env.KINDLING_PUSH_URLS.length > 0 ? defaultChangesKept : 0),
    /** Where changes of flags are sent. */
    push: {
      endpoints: env.KINDLING_PUSH_URLS.map((url, index) => ({ url, secrets: env.KINDLING_PUSH_SECRETS[index] ?? [] })),
      timeoutMs: env.KINDLING_PUSH_TIMEOUT,
    },
    /** Kindling's own HTTP API. Its routes exist only for the kinds of tokens that are configured. */
    api: {
      tokens: serviceTokens(env.KINDLING_API_TOKEN, env.KINDLING_API_TOKENS),
      /** Applications whose users' access tokens read the user's own flags. */
      clientIds: new Set(env.KINDLING_CLIENT_IDS),
      corsOrigins: env.KINDLING_CORS_ORIGINS,
      /** Writes of the whole fleet. */
      callsPerMinute: env.KINDLING_API_CALLS_PER_MINUTE,
      /** Reads with one service token, or of one user, in one process. */
      readsPerMinute: env.KINDLING_API_READS_PER_MINUTE,
      userReadsPerMinute: env.KINDLING_USER_READS_PER_MINUTE,
      /** Open streams of one process. */
      maxStreams: env.KINDLING_MAX_STREAMS,
      heartbeatMs: env.KINDLING_STREAM_HEARTBEAT,
    },
    /** The page for operators. */
    dashboard: {
      host: env.KINDLING_DASHBOARD_HOST,
      port: env.KINDLING_DASHBOARD_PORT,
      /** The origin that browsers open; absent: any loopback name. */
      url: env.KINDLING_DASHBOARD_URL?.replace(/\/$/, ""),
      tokens: env.KINDLING_DASHBOARD_TOKENS,
      /** The Kinde application whose users sign in; absent: none. */
      application: applicationOf(env.KINDLING_DASHBOARD_CLIENT_ID, env.KINDLING_DASHBOARD_CLIENT_SECRET),
      sessionMs: env.KINDLING_DASHBOARD_SESSION,
    },
    /** Events and refreshes that are remembered, of all users together; 0: none. */
    trailLength: env.KINDLING_TRAIL_LENGTH,
    shutdownTimeoutMs: env.KINDLING_SHUTDOWN_TIMEOUT,
  };
}

function applicationOf(clientId: string | undefined, clientSecret: string | undefined) {
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}

function serviceTokens(single: string | undefined, named: readonly ApiToken[]): readonly ApiToken[] {
  if (single === undefined) return named;
  return [{ name: "KINDLING_API_TOKEN", scopes: new Set(scopes), value: single }, ...named];
}
