import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import { createFleetSetting, type FleetSetting } from "../redis/fleet-setting.ts";
import type { Keys } from "../redis/keys.ts";
import type { Peak } from "../redis/peak.ts";
import { storedShape } from "../redis/stored.ts";
import type { FinishedSweep } from "./sweep-log.ts";
import { type FinishedWalk, shortestWalkMs } from "./walk-log.ts";

/** How often the fleet sweeps. */
export interface SweepPace {
  /** Longest time from the start of one sweep to the start of the next, in milliseconds; 0: no scheduled sweeps. */
  intervalMs: number;
  /** Share of the call budget that scheduled sweeps use, from 0 to 1. */
  share: number;
}

/** Shortest time from the start of one sweep to the start of the next, unless the longest is shorter. Milliseconds. */
export const shortestIntervalMs = 30_000;
/** Pause between two sweeps. The next one must not start before the last one's job has ended. */
export const restMs = 1_000;

// Releases before the share swept every `intervalMs`.
const storedPace = storedShape<SweepPace>(
  1,
  z.object({ intervalMs: z.int().nonnegative(), share: z.number().min(0).max(1).default(0.1) }),
);

/** Opens the fleet's pace. */
export function createSweepPace(options: {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  own: SweepPace;
  onOther: (fleet: SweepPace) => void;
}): FleetSetting<SweepPace> {
  const { redis, keys, own, onOther } = options;
  return createFleetSetting({ redis, key: keys.ledgerPart("interval:sweep"), shape: storedPace, own, onOther });
}

/** What the plan of a sweep depends on. */
export interface SweepPlan extends SweepPace {
  /** Calls to Kinde that the fleet can make. */
  perMinute: number;
  /** Users per call. */
  pageSize: number;
}

/** What the pace of a walk depends on. */
export interface SlotOptions extends Omit<SweepPlan, "pageSize"> {
  /** Calls that the walk will probably make. */
  calls: number;
}

/**
 * Returns the time between two calls of a scheduled sweep, in milliseconds: as long as the share of the budget asks for,
 * but short enough to end within the longest interval. Even spacing also keeps each user's turn at the same place in every
 * sweep, so that a user is compared once an interval, not up to twice its length apart.
 */
export function slotMs({ intervalMs, share, perMinute, calls }: SlotOptions): number {
  return Math.min(60_000 / (share * perMinute), intervalMs / Math.max(1, calls));
}

/** Returns the calls that a sweep of so many users will probably make. */
export function expectedCalls(users: number, { pageSize }: Pick<SweepPlan, "pageSize">): number {
  return Math.ceil(users / pageSize) + 1;
}

/** Returns the shortest time between the starts of two sweeps. */
export function leastIntervalMs({ intervalMs }: SweepPace): number {
  return Math.min(shortestIntervalMs, intervalMs);
}

/** How old a record can be before a change in Kinde shows, as planned, as the last sweeps measured it, and as it is now. Milliseconds. */
export interface SweepBound {
  /** Time from the start of one sweep to the start of the next, as planned, or as long as the last one took. */
  everyMs: number;
  /** How much later than planned a page came, or is now, the start of its sweep included: the most in the last minutes. */
  lateMs: number;
  /**
   * From a page to the records of the users that it shows to differ: the most in the last minutes, or as long as one of them
   * waits now, at least 3 s.
   */
  fetchMs: number;
  /** How much longer it takes at most while the search lags, and for users who were refreshed just before the change. */
  lagMs: number;
  /** The sum, without the lag. */
  withinMs: number;
}

/**
 * Returns whether checks of recently active users find changes sooner than sweeps do. `false` before the first sweep and
 * without scheduled ones.
 *
 * @param apart.intervalMs Shortest time between two checks of a user
 * @param apart.roundMs Time between two checks of a user while as many are active as now
 */
export function areChecksWorthwhile(
  last: FinishedSweep | undefined,
  plan: SweepPlan,
  apart: { intervalMs: number; roundMs: number },
): boolean {
  const bound = sweepBound(last, plan, { lateMs: 0, fetchMs: 0, lagMs: 0 });
  return bound !== undefined && bound.everyMs > Math.max(2 * apart.intervalMs, apart.roundMs);
}

/** Where the sweep that is due or running stands. Times in milliseconds since the epoch. */
export interface SweepPlace {
  /** When it was to start. */
  dueAt: number;
  /** Its calls so far; `undefined` once it has listed everybody. */
  calls: number | undefined;
}

/** Returns by how much the next page of a sweep is late now, in milliseconds. */
export function overdueMs(last: FinishedSweep, { dueAt, calls }: SweepPlace, plan: SweepPlan, now: number): number {
  const expected = expectedCalls(last.users, plan);
  const slot = slotMs({ ...plan, calls: expected });
  return Math.max(0, now - dueAt - (calls ?? expected) * slot);
}

/** What the bound of a walk depends on beside its duration. Milliseconds. */
export interface WalkDelays {
  /** How often the fleet looks for walks that are due. */
  watchMs: number;
  /** How long before a walk a record must have been fetched to be compared. */
  settleMs: number;
  /** As in {@link SweepDelays}. */
  fetchMs: number;
}

/**
 * Returns how soon a change that a walk compares shows, in milliseconds: it can come just after the listing that would have
 * shown it, or just after a fetch that the next walk takes for newer, and is acted on after the walk that follows. Walks
 * begin when they are due and somebody looks, or follow each other.
 *
 * @param present Since when the next walk is under way; if it is not, it counts for as long as it is waited for. In
 * milliseconds since the epoch
 */
export function walkBoundMs(
  { startedAt, finishedAt }: Pick<FinishedWalk, "startedAt" | "finishedAt">,
  { watchMs, settleMs, fetchMs }: WalkDelays,
  present?: { now: number; current: Pick<FinishedWalk, "startedAt"> | undefined },
): number {
  const { now = finishedAt, current } = present ?? {};
  const tookMs = finishedAt - startedAt;
  const everyMs = Math.max(shortestWalkMs + watchMs, tookMs, (current?.startedAt ?? now) - startedAt);
  const durationMs = Math.max(tookMs, now - (current?.startedAt ?? now));
  return everyMs + settleMs + durationMs + fetchAllowance(fetchMs);
}

/** Least allowance for the page and for refreshing the users that it shows to differ: three calls and their wait. */
const leastFetchMs = 3_000;
/** Allowance for the page itself. */
const pageMs = 1_000;

/** Returns how long it takes from a page to the records of the users that differ, in milliseconds. */
export function fetchAllowance(measuredMs: number): number {
  return Math.max(leastFetchMs, measuredMs + pageMs);
}

/** Where processes note delays of sweeps, in milliseconds. */
export interface SweepDelayPeaks {
  /** How much later than planned pages came. */
  late: Pick<Peak, "note">;
  /** From the moment that a user was found to differ to the record's commit. */
  fetch: Pick<Peak, "note">;
}

/** What sweeps of the last minutes measured, or what is overdue now, in milliseconds. */
export interface SweepDelays {
  lateMs: number;
  fetchMs: number;
  /** The lag of the search to allow for. */
  lagMs: number;
}

/** Returns the bound that the last sweep shows; `undefined` before the first one and without scheduled sweeps. */
export function sweepBound(
  last: FinishedSweep | undefined,
  plan: SweepPlan,
  measured: SweepDelays,
): SweepBound | undefined {
  if (last === undefined || plan.intervalMs === 0) return undefined;
  const calls = expectedCalls(last.users, plan);
  // A sweep that filled, or that an operator started, is faster than the scheduled ones.
  const durationMs = Math.max(calls * slotMs({ ...plan, calls }), last.finishedAt - last.startedAt);
  const everyMs = Math.max(leastIntervalMs(plan), durationMs + restMs);
  const lateMs = Math.max(last.lateMs, measured.lateMs);
  const fetchMs = fetchAllowance(measured.fetchMs);
  return { everyMs, lateMs, fetchMs, lagMs: measured.lagMs, withinMs: everyMs + lateMs + fetchMs };
}
