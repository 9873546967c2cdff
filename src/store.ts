import { KindlingError } from "kindling";
import { type AuditLog, type AuditQueue, createAuditLog, createAuditQueue } from "./audit/audit-log.ts";
import type { StoreConfig } from "./config.ts";
import { RedisError } from "./errors.ts";
import { type AccessTokenStore, createMemoryTokenStore } from "./kinde/access-token.ts";
import type { CallBudget } from "./kinde/call-budget.ts";
import { errorFields, type Log } from "./log.ts";
import type { PushEndpoint } from "./push/deliver.ts";
import { openPushQueues, type PushQueue } from "./push/queues.ts";
import { type Absences, createAbsences } from "./redis/absences.ts";
import { createRedisTokenStore, forgetTokens } from "./redis/access-token-store.ts";
import { type ActionLog, createActionLog } from "./redis/action-log.ts";
import { type Activity, createActivity } from "./redis/activity.ts";
import { createCallBudget } from "./redis/call-budget.ts";
import { areApart, type RedisClient } from "./redis/client.ts";
import { checkRedis, connectRedis } from "./redis/connection.ts";
import { type BufferedCounters, bufferCounters, type Counters, createCounters } from "./redis/counters.ts";
import { createReplication, type Replication } from "./redis/durability.ts";
import { createHistory, type History } from "./redis/history.ts";
import { createKeys, type Keys } from "./redis/keys.ts";
import { createLedger, type Ledger } from "./redis/ledger.ts";
import { createPeak, type Peak } from "./redis/peak.ts";
import { cutLifetimes, type QueueOptions } from "./redis/queue.ts";
import { createRecentUsers, type RecentUsers } from "./redis/recent-users.ts";
import { createRecords, type Records } from "./redis/records.ts";
import { createRecentlySettled, type RecentlySettled, settledKey } from "./redis/settled.ts";
import { bindTenant, watchTenant } from "./redis/tenant.ts";
import { createTrail, type Trail } from "./redis/trail.ts";
import { hostsOf, parseRedisUrl } from "./redis-url.ts";
import { createRefreshQueues, type RefreshQueues } from "./refresh/queues.ts";
import { type Completeness, createCompleteness } from "./sweep/completeness.ts";
import { createIndexLag, type IndexLag } from "./sweep/index-lag.ts";
import { createListedUsers, type ListedUsers } from "./sweep/listed-users.ts";
import { createSweepQueue, type SweepQueue } from "./sweep/queue.ts";
import { createRecentLog, type RecentLog } from "./sweep/recent-log.ts";
import { createSeenUsers, type SeenUsers } from "./sweep/seen-users.ts";
import { createSweepLog, type SweepLog } from "./sweep/sweep-log.ts";
import { createWalkLog, type WalkLog } from "./sweep/walk-log.ts";
import { createPulse, type PulseStore } from "./webhook/silence.ts";
import type { World } from "./world.ts";

/** All queues of a deployment. */
export interface Queues extends RefreshQueues, SweepQueue, AuditQueue {
  /** One for each endpoint of `KINDLING_PUSH_URLS`. */
  pushes: readonly PushQueue[];
  /** Cuts the lifetimes of BullMQ's keys, which grow when Redis' clock steps back. */
  cutLifetimes(): Promise<void>;
  /** Await this once: a BullMQ queue whose first command fails never recovers. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

/** Opens all queues. */
export function createQueues(options: QueueOptions, endpoints: readonly PushEndpoint[]): Queues {
  const refreshQueues = createRefreshQueues(options);
  const sweepQueue = createSweepQueue(options);
  const auditQueue = createAuditQueue(options);
  const { refresh, bulk, requests, confirm, fanout } = refreshQueues;
  const pushes = openPushQueues(endpoints, options);
  const all = [
    refresh,
    bulk,
    requests,
    confirm,
    fanout,
    sweepQueue.sweep,
    auditQueue.audit,
    ...pushes.map(({ queue }) => queue),
  ];
  return {
    ...refreshQueues,
    ...sweepQueue,
    ...auditQueue,
    pushes,
    cutLifetimes: () => cutLifetimes(options.redis, all),
    async ready() {
      await Promise.all(all.map((queue) => queue.waitUntilReady()));
    },
    async close() {
      await Promise.all(all.map((queue) => queue.close()));
    },
  };
}

/** Everything that is stored in Redis. The access token can be kept in memory instead. */
export interface Store {
  /** Where everything is that app servers do not use: ledger, queues and the like. */
  redis: RedisClient;
  /** Where the records are, and whatever else app servers use. The same connection, unless settings say otherwise. */
  publicRedis: RedisClient;
  keys: Keys;
  /** Aborted with a {@link TenantError} if the store is wiped and another tenant's process binds it first: stop using it. */
  foreign: AbortSignal;
  records: Records;
  ledger: Ledger;
  fanoutLedger: Ledger;
  /** `undefined` if the records are beside the ledger. */
  settled: RecentlySettled | undefined;
  absences: Absences;
  queues: Queues;
  budget: CallBudget;
  accessToken: AccessTokenStore;
  /** Deletes the access tokens of the fleet in Redis, and returns how many there were. */
  forgetTokens(): Promise<number>;
  sweeps: SweepLog;
  seen: SeenUsers;
  listed: ListedUsers;
  indexLag: IndexLag;
  walkLog: WalkLog;
  recentUsers: RecentUsers;
  /** Delays of sweeps. */
  delays: { late: Peak; fetch: Peak };
  recentLog: RecentLog;
  audits: AuditLog;
  pulse: PulseStore;
  completeness: Completeness;
  replication: Replication;
  /** Requests refused over HTTP, by `<route>:<code>`. */
  refusedRequests: BufferedCounters;
  /** Refresh requests dropped, by reason. */
  droppedRefreshRequests: Counters;
  activity: Activity;
  trail: Trail;
  history: History;
  actions: ActionLog;
  close(): Promise<void>;
}

/** A Redis that the settings name. */
export interface RedisPlace {
  url: string;
  setting: string;
}

/** Returns the Redis of the records and that of all else: one, unless settings say otherwise. */
export function placesOf({ redisUrl, internalRedisUrl }: StoreConfig): RedisPlace[] {
  const places = [{ url: redisUrl, setting: "REDIS_URL" }];
  if (internalRedisUrl !== redisUrl) places.push({ url: internalRedisUrl, setting: "KINDLING_INTERNAL_REDIS_URL" });
  return places;
}

/** Lifetime of a sweep's filter: at least a week and a day, for sweeps that a weekly cron job starts. */
const filterTtlMs = 8 * 86_400_000;

/**
 * Opens the store.
 *
 * @throws {RedisError} if Redis does not answer, or is configured in a way that can lose data
 * @throws {TenantError} if the store belongs to another Kinde tenant
 */
export async function openStore(config: StoreConfig, { now }: World, log: Log): Promise<Store> {
  const onError = (error: unknown) => log.warn(errorFields(error), "Redis error");
  const timeoutMs = config.redisTimeoutMs;
  const places = placesOf(config);
  const opened = places.map(({ url }) => connectRedis({ url, timeoutMs, onError }));
  const [publicRedis, redis] = [opened[0], opened.at(-1)] as [RedisClient, RedisClient];
  const keys = createKeys(config.prefix);
  const disconnect = () => {
    for (const each of opened) each.disconnect();
  };
  // A command without Kinde's settings works on whatever tenant the prefix belongs to.
  const bind = async (each: RedisClient) => {
    if (config.domain !== undefined) await bindTenant(each, keys, config.domain);
  };
  let queues: Queues;
  try {
    await Promise.all(
      opened.map(async (each, index) => {
        await checkRedis(each, { ...(places[index] as RedisPlace), timeoutMs });
        await bind(each);
      }),
    );
    queues = createQueues({ redis, keys, onError }, config.push.endpoints);
    await queues.ready();
  } catch (error) {
    disconnect();
    if (error instanceof KindlingError) throw error;
    const hosts = places.map(({ url }) => hostsOf(parseRedisUrl(url))).join(" or ");
    throw new RedisError("redis_unavailable", `Redis at ${hosts} stopped answering during startup: try again.`, {
      cause: error,
    });
  }
  const tenant = watchTenant(() => Promise.all(opened.map(bind)), {
    intervalMs: config.watchIntervalMs,
    onError: (error) => log.warn(errorFields(error), "tenant of the store not checked"),
    onMismatch: (error) => log.error(errorFields(error), "the store now belongs to another tenant: stopping"),
  });
  const onUncounted = (error: unknown) => log.warn(errorFields(error), "counters not written");
  const refusedRequests = bufferCounters(createCounters(redis, keys.refusedRequests), onUncounted);
  const activity = createActivity(redis, keys.activity, onUncounted);
  const recentUsers = createRecentUsers({
    redis,
    keys,
    most: config.recent.share === 0 ? 0 : config.recent.users,
    onError: (error) => log.warn(errorFields(error), "active users not noted"),
  });
  const openPeak = (name: string) =>
    createPeak({
      redis,
      key: keys.ledgerPart(`sweep:${name}`),
      now,
      onError: (error) => log.warn(errorFields(error), "delays of sweeps not noted"),
    });
  const delays = { late: openPeak("late"), fetch: openPeak("fetch") };
  const apart = areApart(publicRedis, redis);
  const trail = createTrail({
    redis,
    keys,
    length: config.trailLength,
    now,
    onError: (error) => log.warn(errorFields(error), "trail not written"),
  });
  const replication = createReplication({
    recordsUrl: config.redisUrl,
    ledgerUrl: config.internalRedisUrl,
    keys,
    replicas: config.redisReplicas,
    timeoutMs,
    onError,
  });
  return {
    redis,
    publicRedis,
    keys,
    foreign: tenant.foreign,
    replication,
    records: createRecords({
      redis: publicRedis,
      internal: redis,
      keys,
      tombstoneTtlMs: config.tombstoneTtlMs,
      changesKept: config.changesKept,
    }),
    ledger: createLedger({
      redis,
      keys,
      name: "users",
      now,
      settleMs: config.writeSettleMs,
      settledKey: apart ? settledKey(keys) : undefined,
    }),
    settled: apart ? createRecentlySettled({ redis: publicRedis, internal: redis, keys }) : undefined,
    fanoutLedger: createLedger({ redis, keys, name: "fanouts", now }),
    absences: createAbsences({ redis, publicRedis, keys, now, gapMs: config.absence.gapMs }),
    queues,
    sweeps: createSweepLog({ redis, keys }),
    seen: createSeenUsers({ redis, keys, ttlMs: Math.max(filterTtlMs, 3 * config.sweep.intervalMs) }),
    listed: createListedUsers({ redis, keys }),
    indexLag: createIndexLag({ redis, keys, assumedMs: config.sweep.indexLagMs }),
    walkLog: createWalkLog({ redis, keys }),
    recentUsers,
    delays,
    recentLog: createRecentLog({ redis, keys }),
    audits: createAuditLog({ redis, keys }),
    pulse: createPulse({ redis, keys, now }),
    completeness: createCompleteness({ redis: publicRedis, internal: redis, keys }),
    refusedRequests,
    activity,
    droppedRefreshRequests: createCounters(publicRedis, keys.droppedRefreshRequests),
    trail,
    history: createHistory({ redis, keys }),
    actions: createActionLog({ redis, keys }),
    budget: createCallBudget({ redis, keys, ...config.calls, leaseMs: config.kindeTimeoutMs + 5_000 }),
    accessToken:
      config.tokenStore === "memory" || config.clientId === undefined
        ? createMemoryTokenStore()
        : createRedisTokenStore({ ...config, redis, keys, now, lockMs: config.kindeTimeoutMs + 5_000 }),
    forgetTokens: () => forgetTokens(redis, keys),
    async close() {
      await Promise.all([
        tenant.close(),
        queues.close(),
        refusedRequests.close(),
        activity.close(),
        trail.close(),
        recentUsers.close(),
        delays.late.close(),
        delays.fetch.close(),
      ]);
      replication.close();
      disconnect();
    },
  };
}
