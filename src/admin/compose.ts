import { setMaxListeners } from "node:events";
import type { Redis } from "ioredis";
import { startWorkers } from "../../workers/start-workers.ts";
import { createRedisTokenStore } from "../cache/access-token-store.ts";
import { type CallBudget, createCallBudget } from "../cache/call-budget.ts";
import { type Completeness, createCompleteness } from "../cache/completeness.ts";
import { createKeys, type Keys } from "../cache/keys.ts";
import { createRecords, type Records } from "../cache/records.ts";
import { checkRedis, connectRedis } from "../cache/redis.ts";
import { sampleUsers } from "../cache/sample-users.ts";
import { createSeenUsers, type SeenUsers } from "../cache/seen-users.ts";
import type { Config } from "../config.ts";
import { KindlingError, RedisError } from "../errors.ts";
import type { Flags } from "../flags/define-flags.ts";
import { loadFlags } from "../flags/load-flags.ts";
import { createApp } from "../http/create-app.ts";
import { type Server, serve } from "../http/serve.ts";
import { type AccessTokenStore, createAccessTokens, createMemoryTokenStore } from "../kinde/access-token.ts";
import { checkWebhook } from "../kinde/check-webhook.ts";
import { type CallOptions, createManagementApi, type ManagementApi } from "../kinde/management-api.ts";
import { extraParts } from "../kinde/profile.ts";
import { neededEventTypes } from "../kinde/route-event.ts";
import { createSigningKeys } from "../kinde/signing-keys.ts";
import { createWebhooks } from "../kinde/webhooks.ts";
import { errorFields, type Log } from "../log.ts";
import { createAcknowledgeUsers } from "../queue/acknowledge-users.ts";
import { createAdmissions } from "../queue/admit-events.ts";
import { type AuditLog, createAuditLog } from "../queue/audit-log.ts";
import { grantWishes } from "../queue/grant-wishes.ts";
import { createLedger, type Ledger } from "../queue/ledger.ts";
import { createPulse, type PulseStore } from "../queue/pulse.ts";
import { createQueues, type Queues } from "../queue/queues.ts";
import { scheduleSweeps } from "../queue/schedule-sweeps.ts";
import { scheduleTick } from "../queue/schedule-tick.ts";
import { createSweepLog, type SweepLog } from "../queue/sweep-log.ts";
import { usersInHand } from "../queue/users-in-hand.ts";
import { watchLedger } from "../queue/watch-ledger.ts";
import { auditUser } from "../refresh/audit-user.ts";
import { createFanOut } from "../refresh/fan-out.ts";
import { createFillPage } from "../refresh/fill-page.ts";
import { createRefreshUser } from "../refresh/refresh-user.ts";
import { createSetProperties } from "../refresh/set-properties.ts";
import { type SweepOptions, type SweepState, sweepStep } from "../refresh/sweep.ts";

/** The world outside, passed in so that tests can put theirs. */
export interface World {
  fetch: typeof fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** Everything that lives in Redis, over one connection; of the access token only where it is the fleet's. */
export interface Store {
  redis: Redis;
  keys: Keys;
  records: Records;
  users: Ledger;
  fanouts: Ledger;
  queues: Queues;
  budget: CallBudget;
  accessToken: AccessTokenStore;
  sweeps: SweepLog;
  seen: SeenUsers;
  audits: AuditLog;
  pulse: PulseStore;
  completeness: Completeness;
  close(): Promise<void>;
}

/**
 * Opens the store.
 *
 * @throws {RedisError} when Redis does not answer, or must not hold it
 */
export async function openStore(config: Config, { now }: World, log: Log): Promise<Store> {
  const onError = (error: unknown) => log.warn(errorFields(error), "redis error");
  const redis = connectRedis({ url: config.redisUrl, timeoutMs: config.redisTimeoutMs, onError });
  const keys = createKeys(config.prefix);
  let queues: Queues;
  try {
    await checkRedis(redis, config.redisTimeoutMs);
    queues = createQueues({ redis, keys, onError });
    await queues.ready();
  } catch (error) {
    redis.disconnect();
    if (error instanceof KindlingError) throw error;
    throw new RedisError("redis_unavailable", "Redis was lost while the queues were opened: try again.", {
      cause: error,
    });
  }
  return {
    redis,
    keys,
    records: createRecords({ redis, keys, tombstoneTtlMs: config.tombstoneTtlMs }),
    users: createLedger(redis, keys, "users", now),
    fanouts: createLedger(redis, keys, "fanouts", now),
    queues,
    sweeps: createSweepLog({ redis, keys }),
    seen: createSeenUsers({ redis, keys }),
    audits: createAuditLog({ redis, keys }),
    pulse: createPulse({ redis, keys, now }),
    completeness: createCompleteness({ redis, keys }),
    budget: createCallBudget({ redis, keys, ...config.calls, leaseMs: config.kindeTimeoutMs + 5_000 }),
    accessToken:
      config.tokenStore === "memory"
        ? createMemoryTokenStore()
        : createRedisTokenStore({ ...config, redis, keys, now, lockMs: config.kindeTimeoutMs + 5_000 }),
    async close() {
      await queues.close();
      redis.disconnect();
    },
  };
}

/** The Management API as this deployment uses it. */
export function openKinde(config: Config, { fetch, now }: World, { accessToken: store, budget }: Store): ManagementApi {
  const kinde = { origin: config.domain, fetch, now, timeoutMs: config.kindeTimeoutMs };
  const accessTokens = createAccessTokens({ ...config, ...kinde, store });
  return createManagementApi({ ...kinde, accessTokens, budget });
}

/** A part of Kindling at work. */
export interface Running {
  close(): Promise<void>;
}

/** The HTTP side: takes webhooks, and writes where a token for it is set. */
export async function runServer(config: Config, world: World, log: Log, store: Store): Promise<Running & Server> {
  const keys = createSigningKeys({
    url: `${config.domain}/.well-known/jwks`,
    fetch: world.fetch,
    now: world.now,
    ...config.keys,
    timeoutMs: config.kindeTimeoutMs,
    onError: (error) => log.warn(errorFields(error), "signing keys not fetched"),
  });
  const admissions = createAdmissions({
    ...store,
    now: world.now,
    rememberMs: config.event.maxAgeMs + config.event.maxSkewMs,
    burst: config.burst,
    onError: (error) => log.warn(errorFields(error), "event id not remembered"),
  });
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const writes = await openWrites(config, world, log, store, stopping.signal);
  const app = createApp({
    keys,
    admissions,
    redis: store.redis,
    event: config.event,
    refreshOnSignIn: config.refreshOnSignIn,
    maxBodyBytes: config.http.maxBodyBytes,
    now: world.now,
    log,
    ...(writes !== undefined && { writes }),
  });
  const server = await serve(app, { host: config.host, port: config.port, ...config.http });
  log.info({ host: config.host, port: server.port }, "server listens");
  void keys.ready();
  return {
    port: server.port,
    async close() {
      const timer = setTimeout(() => stopping.abort(new Error("shutting down")), config.shutdownTimeoutMs * 0.8);
      await server.close();
      clearTimeout(timer);
    },
  };
}

/** What the write-through route needs, the flags file included; nothing where no token is set. */
async function openWrites(config: Config, world: World, log: Log, store: Store, signal: AbortSignal) {
  const { token, callsPerMinute } = config.writeApi;
  if (token === undefined) return undefined;
  const { setProperties } = createRefresh(config, world, store, await loadFlags(config.flagsFile));
  const rate = { redis: store.redis, key: store.keys.apiCalls, perMinute: callsPerMinute, log };
  return { setProperties, token, rate, signal };
}

/** The workers and the ledger's watch. */
export async function runWorkers(config: Config, world: World, log: Log, store: Store): Promise<Running> {
  const flags = await loadFlags(config.flagsFile);
  const onError = (error: unknown) => log.warn(errorFields(error), "redis error");
  const connection = connectRedis({ url: config.redisUrl, onError });
  const workers = startWorkers({
    ...store,
    ...createRefresh(config, world, store, flags),
    connection,
    prefix: store.keys.queues,
    retry: config.retry,
    concurrency: config.concurrency,
    ...config.sweep,
    acknowledge: createAcknowledgeUsers(store),
    now: world.now,
    log,
  });
  const watch = startWatch(config, world, log, store);
  const wishes = grantWishes({ ...store, redis: connectRedis({ url: config.redisUrl, onError }), onError });
  log.info({ ...config.concurrency, flags: Object.keys(flags.definitions) }, "workers started");
  return {
    async close() {
      // Less than the whole bound: aborted jobs must still be handed back within it.
      await Promise.all([watch.close(), wishes.close(), workers.close(config.shutdownTimeoutMs * 0.8)]);
      connection.disconnect();
    },
  };
}

/** Refreshing and fanning out, against the Management API. */
export function createRefresh(
  config: Config,
  world: World,
  store: Store,
  flags: Flags,
  api = openKinde(config, world, store),
) {
  const { records, queues, users: ledger } = store;
  const shared = { api, records, flags, keep: config.profile };
  const refreshUser = createRefreshUser({ ...shared, ledger, now: world.now });
  const settleMs = config.writeSettleMs;
  return {
    api,
    refreshUser,
    setProperties: createSetProperties({ api, ledger, records, queues, refreshUser, settleMs }),
    fanOut: createFanOut({ ...shared, inHand: () => usersInHand(queues) }),
    sweepStep: createSweepStep(config, world, store, shared),
    ...createAudit(config, world, store, shared),
  };
}

function createAudit(
  config: Config,
  { now }: World,
  { redis, keys, records, users: ledger }: Store,
  { api, flags }: { api: ManagementApi; flags: Flags },
) {
  const signIns = config.refreshOnSignIn;
  const options = { api, ledger, records, flags, keep: config.profile, signIns };
  const needed = neededEventTypes(config);
  return {
    auditUser: (userId: string, call: CallOptions) => auditUser(options, userId, call),
    drawSample: () => sampleUsers(redis, keys, config.audit.sample),
    checkWebhook: (call: CallOptions) =>
      checkWebhook({ webhooks: createWebhooks(api), url: config.webhookUrl, needed, now }, call),
  };
}

function createSweepStep(
  config: Config,
  { now }: World,
  store: Store,
  shared: Pick<SweepOptions, "api" | "records" | "keep"> & { flags: Flags },
) {
  const { flags } = shared;
  const { records, seen, users: ledger } = store;
  const needsExtras = extraParts.some((part) => config.profile.has(part) || flags.mayNeed(part));
  const options: SweepOptions = {
    ...shared,
    ...config.sweep,
    now,
    records,
    seen,
    ledger,
    fillPage: createFillPage({ ...shared, ...config.sweep, ledger, records, now }),
    schema: flags.schema,
    signIns: config.refreshOnSignIn,
    extrasMaxAgeMs: needsExtras ? config.sweep.extrasMaxAgeMs : undefined,
  };
  return (state: SweepState, call: CallOptions) => sweepStep(options, state, call);
}

function startWatch(config: Config, { now }: World, log: Log, store: Store): Running {
  const { watchIntervalMs: intervalMs, failedRetryMs } = config;
  const ledger = async () => {
    const enqueued = await watchLedger({ ...store, now, intervalMs, retryMs: config.retry.maxMs, failedRetryMs });
    if (enqueued > 0) log.warn({ enqueued }, "the ledger held users without a job");
  };
  const pulse = async () => {
    const { silence, say } = await store.pulse.look();
    if (say) log.warn({ ...silence }, "no event for longer than usual: see kindling status");
  };
  // Each for itself: trouble with one must not keep the others from being looked after.
  const looks = {
    ledger,
    sweeps: () => scheduleSweeps({ ...store, intervalMs: config.sweep.intervalMs, now }),
    audits: () => scheduleTick(store.queues.audit, config.audit.intervalMs),
    pulse,
  };
  const look = () =>
    Promise.all(
      Object.entries(looks).map(([what, task]) =>
        task().catch((error: unknown) => log.warn({ what, ...errorFields(error) }, "could not be watched")),
      ),
    );
  let current: Promise<unknown> | undefined;
  const watch = () => {
    current ??= look().finally(() => {
      current = undefined;
    });
  };
  watch();
  const timer = setInterval(watch, intervalMs);
  return {
    async close() {
      clearInterval(timer);
      await current;
    },
  };
}
