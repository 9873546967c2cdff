import type { Config } from "../config.ts";
import { type FailedPush, listFailedPushes } from "../push/queues.ts";
import { type Durability, readDurability } from "../redis/durability.ts";
import { type FailedMember, listFailures } from "../refresh/failures.ts";
import type { Queues, Store } from "../store.ts";
import { createSweepPace, overdueMs, restMs, type SweepBound, sweepBound, walkBoundMs } from "../sweep/pace.ts";
import { currentSweep, currentWalks, failedSweep } from "../sweep/queue.ts";
import { type RecentChecksSummary, summarizeChecks } from "../sweep/recent-log.ts";
import { nextStart } from "../sweep/schedule.ts";
import type { FinishedSweep } from "../sweep/sweep-log.ts";
import type { SweepState } from "../sweep/sweep-state.ts";
import { type FinishedWalk, type WalkHistory, type WalkKind, walkKinds } from "../sweep/walk-log.ts";
import { countRecords, type RecordCount } from "./count-records.ts";
import { findWarnings, type Warning } from "./find-warnings.ts";
import { type Freshness, readFreshness } from "./read-freshness.ts";

/** Figures of a deployment and its latest failures. */
export interface Status extends Figures {
  /** Deliveries of changed flags that used up their attempts. */
  failedDeliveries: number;
  lastFailures: (FailedMember | FailedPush)[];
}

/** Figures of a deployment. Times and durations are in milliseconds. */
export interface Figures {
  prefix: string;
  warnings: Warning[];
  queues: Record<"refresh" | "requests" | "bulk" | "confirm" | "fanout", QueueStatus>;
  ledger: Record<"users" | "fanouts", { size: number; oldestAgeMs: number; failed: number }>;
  calls: {
    pausedMs: number;
    inUse: number;
    available: number;
    /** Users and routes that Kinde limits. */
    limited: number;
    perMinute: number;
    atOnce: number;
  };
  /** What Redis keeps, and how many replicas must have an event before it is acknowledged. */
  redis: Durability & { required: number };
  records: RecordCount;
  /** Users with a record that Kinde does not find, and since when that is not believed; `null` if it is. */
  absences: { users: number; suspendedSince: number | null };
  sweep: SweepStatus;
  /** Counts by outcome, then by type. */
  events: { duplicate: number } & Record<string, number | Record<string, number>>;
  /** Requests refused over HTTP, by `<route>:<code>`. */
  refusedRequests: Record<string, number>;
  /** Refresh requests of readers that were dropped, by reason. */
  droppedRefreshRequests: Record<string, number>;
  freshness: Freshness;
}

/** Sweeps and completeness. Instants are in milliseconds since the epoch. */
export interface SweepStatus {
  /** Since when the store has a record of every user; `null` before. */
  completeSince: number | null;
  last: FinishedSweep | null;
  /** The running sweep. */
  current: SweepState | null;
  /** The last failure; `null` if a sweep has succeeded since. */
  failed: { failedAt: number; reason: string } | null;
  /** Start of the next sweep; `null` without a schedule and while one runs. */
  next: number | null;
  /** By how much the next page of the running sweep, or the next sweep, is late now. */
  overdueMs: number;
  /**
   * How soon a change in Kinde shows without any webhook, what is overdue now included; `null` before the first sweep, without
   * a schedule, and if the last one gave up.
   */
  bound: SweepBound | null;
  /** The same for roles, permissions and plans, as far as they are compared. */
  walks: Partial<Record<WalkKind, WalkStatus>>;
  /** Recently active users, who are checked more often; `null` while nobody is, as in a store of few users. */
  recent: RecentChecksSummary | null;
}

/** The last walk of a kind and the one under way. */
export interface WalkStatus extends WalkHistory {
  /** How soon a change shows; `null` before the first walk is over, and if the last one gave up. */
  withinMs: number | null;
  current: WalkProgress | null;
}

/** How far a walk is. `startedAt` in milliseconds since the epoch. */
export type WalkProgress = Pick<FinishedWalk, "startedAt" | "calls" | "compared">;

/** Jobs of a queue. `delayed` jobs wait for a retry or the end of a burst. */
export interface QueueStatus {
  waiting: number;
  active: number;
  delayed: number;
  failed: number;
  paused: boolean;
}

/** Settings that the figures state. */
export type StatusSettings = Pick<
  Config,
  "prefix" | "calls" | "redisReplicas" | "sweep" | "watchIntervalMs" | "writeSettleMs"
>;

const failuresShown = 5;

/** Reads figures and latest failures. Slower than {@link readFigures}, because it reads all failures. */
export async function readStatus(store: Store, config: StatusSettings, now: number): Promise<Status> {
  const [figures, refreshes, deliveries] = await Promise.all([
    readFigures(store, config, now),
    listFailures(store),
    listFailedPushes(store.queues.pushes),
  ]);
  const latest = [...refreshes, ...deliveries].sort((a, b) => b.failedAt - a.failedAt);
  return { ...figures, failedDeliveries: deliveries.length, lastFailures: latest.slice(0, failuresShown) };
}

/**
 * Reads the figures of a deployment in a few round trips.
 *
 * @param count Counts the records. Default: {@link countRecords}, which takes many round trips in a large store
 */
export async function readFigures(
  store: Store,
  settings: StatusSettings,
  now: number,
  count: () => Promise<RecordCount> = () => countRecords(store.publicRedis, store.keys),
): Promise<Figures> {
  const { prefix, calls, redisReplicas } = settings;
  const { queues, ledger: users, fanoutLedger: fanouts, budget, redis, publicRedis, keys } = store;
  const [
    ofQueues,
    ofUsers,
    ofFanouts,
    budgetState,
    durability,
    records,
    absences,
    counts,
    sweep,
    freshness,
    refused,
    dropped,
  ] = await Promise.all([
    Promise.all([
      readQueue(queues.refresh),
      readQueue(queues.requests),
      readQueue(queues.bulk),
      readQueue(queues.confirm),
      readQueue(queues.fanout),
      readQueue(queues.sweep),
      readQueue(queues.audit),
    ]),
    users.size(),
    fanouts.size(),
    budget.state(),
    readDurability(...new Set([publicRedis, redis])),
    count(),
    store.absences.summary(),
    redis.hgetall(keys.ledgerPart("counts")),
    readSweep(store, settings, now),
    readFreshness(store, now),
    store.refusedRequests.read(),
    store.droppedRefreshRequests.read(),
  ]);
  const [refresh, requests, bulk, confirm, fanout, sweeps, audits] = ofQueues;
  const backlog = {
    queues: { refresh, requests, bulk, confirm, fanout },
    ledger: { users: ofUsers, fanouts: ofFanouts },
  };
  return {
    prefix,
    warnings: findWarnings({
      ...freshness,
      ...backlog,
      queues: { ...backlog.queues, sweep: sweeps, audit: audits },
      sweep,
      absences,
    }),
    ...backlog,
    calls: { ...budgetState, ...calls },
    redis: { ...durability, required: redisReplicas },
    records,
    absences,
    sweep,
    events: groupCounts(counts),
    refusedRequests: refused,
    droppedRefreshRequests: dropped,
    freshness,
  };
}

async function readSweep(store: Store, settings: StatusSettings, now: number): Promise<SweepStatus> {
  const { completeness, sweeps, queues, indexLag } = store;
  const { watchIntervalMs: watchMs, writeSettleMs: settleMs } = settings;
  const { intervalMs, share, pageSize } = settings.sweep;
  const pace = createSweepPace({ ...store, own: { intervalMs, share }, onOther: () => {} });
  const [since, last, current, failed, setting, lagMs, walks, walking, recent, lateBefore, fetchedBefore, waitsMs] =
    await Promise.all([
      completeness.since(),
      sweeps.last(),
      currentSweep(queues),
      failedSweep(queues),
      pace.peek(),
      indexLag.expected(),
      store.walkLog.read(),
      currentWalks(queues),
      store.recentLog.read(),
      store.delays.late.read(),
      store.delays.fetch.read(),
      longestWaitMs(store, now),
    ]);
  const history = { last, failedAt: failed?.failedAt ?? 0, now };
  const gaveUp = failed !== undefined && failed.failedAt > (last?.finishedAt ?? 0);
  const plan = { ...setting, perMinute: settings.calls.perMinute, pageSize };
  const areScheduled = setting.intervalMs > 0 && setting.share > 0;
  const dueAt = Math.max(nextStart(setting, history), (last?.finishedAt ?? 0) + restMs);
  const listed = current?.state !== undefined && current.state.phase !== "listing";
  const place = {
    dueAt: current === undefined ? dueAt : Math.min(current.dueAt ?? dueAt, current.state?.startedAt ?? dueAt),
    calls: listed ? undefined : (current?.state?.calls ?? 0),
  };
  const overdue = last === undefined || setting.intervalMs === 0 ? 0 : overdueMs(last, place, plan, now);
  const lateMs = Math.max(lateBefore, current?.state?.lateMs ?? 0, overdue);
  const fetchMs = Math.max(fetchedBefore, waitsMs);
  return {
    completeSince: since ?? null,
    last: last ?? null,
    current: current?.state ?? null,
    failed: gaveUp ? { failedAt: failed.failedAt, reason: failed.reason } : null,
    next: current !== undefined || setting.intervalMs === 0 ? null : nextStart(setting, history),
    overdueMs: overdue,
    bound: (gaveUp ? undefined : sweepBound(last, plan, { lagMs, lateMs, fetchMs })) ?? null,
    walks: joinWalks(walks, walking, (walk, current) =>
      areScheduled ? walkBoundMs(walk, { watchMs, settleMs, fetchMs }, { now, current }) : null,
    ),
    recent: summarizeChecks(recent, now, fetchMs) ?? null,
  };
}

function joinWalks(
  histories: Partial<Record<WalkKind, WalkHistory>>,
  current: Partial<Record<WalkKind, WalkProgress>>,
  boundOf: (walk: FinishedWalk, current: WalkProgress | undefined) => number | null,
): SweepStatus["walks"] {
  const known = walkKinds.filter((kind) => (histories[kind] ?? current[kind]) !== undefined);
  const statusOf = (kind: WalkKind): WalkStatus => {
    const { last, failed } = histories[kind] ?? { last: null, failed: null };
    const walk = current[kind];
    return {
      last,
      failed,
      withinMs: last && !failed ? boundOf(last, walk) : null,
      current: walk ? { startedAt: walk.startedAt, calls: walk.calls, compared: walk.compared } : null,
    };
  };
  return Object.fromEntries(known.map((kind) => [kind, statusOf(kind)]));
}

/** Returns how long a user that a sweep, a walk or a check found has been waiting for a refresh, at most. */
async function longestWaitMs({ queues: { bulk, requests } }: Store, now: number): Promise<number> {
  // The oldest come first, but a job of a fan-out that is taken along goes before them.
  const jobs = await Promise.all([
    bulk.getWaiting(0, 9),
    bulk.getActive(),
    requests.getPrioritized(0, 9),
    requests.getActive(),
  ]);
  // A retry says nothing about other users.
  const found = jobs.flat().filter((job) => job?.name === "sweep" && job.attemptsMade === 0);
  return Math.max(0, ...found.map(({ timestamp }) => now - timestamp));
}

async function readQueue(queue: Pick<Queues["refresh"], "getJobCounts" | "isPaused">): Promise<QueueStatus> {
  const [counts, paused] = await Promise.all([
    queue.getJobCounts("waiting", "prioritized", "active", "delayed", "failed"),
    queue.isPaused(),
  ]);
  const { waiting = 0, prioritized = 0, active = 0, delayed = 0, failed = 0 } = counts;
  return { waiting: waiting + prioritized, active, delayed, failed, paused };
}

// Fields are `duplicate`, or outcome and type: `accepted:user.created`.
function groupCounts(fields: Readonly<Record<string, string>>): Figures["events"] {
  const events: Figures["events"] = { duplicate: Number(fields.duplicate ?? 0) };
  for (const [field, text] of Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const colon = field.indexOf(":");
    if (colon === -1) continue;
    const group = field.slice(0, colon);
    const types = events[group];
    events[group] = { ...(typeof types === "object" && types), [field.slice(colon + 1)]: Number(text) };
  }
  return events;
}
