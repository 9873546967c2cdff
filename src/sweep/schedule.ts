import type { FleetSetting } from "../redis/fleet-setting.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { RecentUsers } from "../redis/recent-users.ts";
import type { RefreshQueues } from "../refresh/queues.ts";
import { type RecentPace, roundMs } from "./check-recent.ts";
import type { Completeness } from "./completeness.ts";
import { areChecksWorthwhile, leastIntervalMs, restMs, type SweepPace, type SweepPlan } from "./pace.ts";
import { failedSweep, type SweepQueue } from "./queue.ts";
import type { FinishedSweep, SweepLog } from "./sweep-log.ts";
import { isWalkDue, type WalkLog } from "./walk-log.ts";

/** Dependencies of {@link scheduleSweeps}. */
export interface ScheduleSweepsOptions {
  queues: Pick<RefreshQueues, "bulk"> & SweepQueue;
  sweeps: Pick<SweepLog, "last">;
  completeness: Pick<Completeness, "recheck">;
  pace: FleetSetting<SweepPace>;
  now: () => number;
}

/** While the store is incomplete, the pause before a sweep at full speed is this many times the duration of the last one. */
const pauseFactor = 10;

/**
 * Schedules the next sweep of the fleet. If the store is incomplete (new or wiped, or served by another Redis process than
 * the one it was found complete on), starts one at full speed at once, and another when the refreshes requested by the first
 * have finished. Scheduled ones compare the records that there are meanwhile. Idempotent and cheap: call it repeatedly,
 * because a wiped Redis has lost the schedule too.
 */
export async function scheduleSweeps(options: ScheduleSweepsOptions): Promise<void> {
  const { queues, completeness, pace } = options;
  const { intervalMs } = await pace.read();
  // Releases before the share scheduled sweeps this way.
  await queues.sweep.removeJobScheduler("tick");
  const since = await completeness.recheck();
  if (intervalMs === 0) return;
  if (since === undefined && (await isDue(options))) {
    await queues.enqueueSweep();
    return;
  }
  // The running sweep schedules the next one when it ends.
  if ((await queues.sweep.getDeduplicationJobId("sweep")) === null) await scheduleNext(options);
}

/** Schedules the sweep after the last one. */
export async function scheduleNext({
  queues,
  sweeps,
  pace,
  now,
}: Omit<ScheduleSweepsOptions, "completeness">): Promise<void> {
  const [setting, last, failed] = await Promise.all([pace.read(), sweeps.last(), failedSweep(queues)]);
  if (setting.intervalMs === 0) return;
  const startAt = nextStart(setting, { last, failedAt: failed?.failedAt ?? 0, now: now() });
  const delayMs = Math.max(restMs, startAt - now());
  await queues.enqueueTick(delayMs, now() + delayMs);
}

/** Dependencies of {@link scheduleRecentChecks}. */
export interface ScheduleRecentOptions
  extends Pick<ScheduleSweepsOptions, "sweeps" | "pace">,
    Pick<SweepPlan, "perMinute" | "pageSize"> {
  queues: Pick<SweepQueue, "enqueueRecentChecks">;
  recentUsers: Pick<RecentUsers, "size">;
  recent: Pick<RecentPace, "share" | "intervalMs">;
}

/** Starts the checks of recently active users if they are of use. Call it repeatedly. */
export async function scheduleRecentChecks(options: ScheduleRecentOptions): Promise<void> {
  if (await areChecksOfUse(options)) await options.queues.enqueueRecentChecks();
}

/** Returns whether users are active, and sweeps take longer than checks of all of them. */
export async function areChecksOfUse(options: Omit<ScheduleRecentOptions, "queues">): Promise<boolean> {
  const { recentUsers, sweeps, pace, perMinute, pageSize, recent } = options;
  const users = await recentUsers.size();
  if (users === 0 || recent.share === 0) return false;
  const [last, setting] = await Promise.all([sweeps.last(), pace.read()]);
  const apart = { intervalMs: recent.intervalMs, roundMs: roundMs(users, { ...recent, perMinute }) };
  return areChecksWorthwhile(last, { ...setting, perMinute, pageSize }, apart);
}

/** Dependencies of {@link scheduleWalks}. */
export interface ScheduleWalksOptions extends Pick<ScheduleSweepsOptions, "pace"> {
  queues: Pick<SweepQueue, "enqueueWalks">;
  walkLog: Pick<WalkLog, "read">;
  ledger: Pick<Ledger, "clock">;
}

/**
 * Starts walks that are due before the next sweep begins, which can take long. That sweep starts the first ones: only the
 * definitions tell which are needed. Call it repeatedly.
 */
export async function scheduleWalks({ queues, walkLog, ledger, pace }: ScheduleWalksOptions): Promise<void> {
  const [{ intervalMs, share }, histories, now] = await Promise.all([pace.read(), walkLog.read(), ledger.clock()]);
  if (intervalMs === 0 || share === 0) return;
  if (Object.values(histories).some((history) => isWalkDue(history, now))) await queues.enqueueWalks();
}

/** What the start of the next sweep depends on. Times in milliseconds since the epoch. */
interface History {
  last: FinishedSweep | undefined;
  /** When the last sweep that gave up did so; 0 if none did. */
  failedAt: number;
  now: number;
}

/** Returns when the next scheduled sweep starts. */
export function nextStart(setting: SweepPace, { last, failedAt, now }: History): number {
  // A sweep that gave up would give up again: an operator has to act first.
  if (failedAt > (last?.finishedAt ?? 0)) return failedAt + setting.intervalMs;
  if (last === undefined) return now;
  // A clock that stepped back must not postpone the next one.
  const startedAt = Math.min(last.startedAt, now);
  return startedAt + leastIntervalMs(setting);
}

// Delayed jobs count too: sweeping again would pull forward the retry of every user who is still missing.
async function isDue({ queues, sweeps, now }: ScheduleSweepsOptions): Promise<boolean> {
  const last = await sweeps.last();
  if (last === undefined) return true;
  if (now() - last.finishedAt < pauseFactor * (last.finishedAt - last.startedAt)) return false;
  return (await queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")) === 0;
}
