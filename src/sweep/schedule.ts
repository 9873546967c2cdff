import type { TickSchedule } from "../redis/tick-schedule.ts";
import type { RefreshQueues } from "../refresh/queues.ts";
import type { Completeness } from "./completeness.ts";
import type { SweepQueue } from "./queue.ts";
import type { SweepLog } from "./sweep-log.ts";

/** Dependencies of {@link scheduleSweeps}. */
export interface ScheduleSweepsOptions {
  queues: Pick<RefreshQueues, "bulk"> & SweepQueue;
  sweeps: Pick<SweepLog, "last">;
  completeness: Pick<Completeness, "recheck">;
  /** Ticks of the sweep queue. */
  schedule: TickSchedule;
  now: () => number;
}

/** While the store is incomplete, the pause between two sweeps is this many times the duration of the last one. */
const pauseFactor = 10;

/**
 * Schedules sweeps for the fleet. If the store is incomplete (new or wiped, or served by another Redis process than the
 * one it was found complete on), starts one at once, and another when the refreshes requested by the first have finished.
 * Idempotent and cheap: call it repeatedly, because a wiped Redis has lost the schedule too.
 */
export async function scheduleSweeps(options: ScheduleSweepsOptions): Promise<void> {
  const { queues, completeness, schedule } = options;
  const intervalMs = await schedule.keep();
  const since = await completeness.recheck();
  if (intervalMs === 0 || since !== undefined) return;
  if (await isDue(options)) await queues.enqueueSweep();
}

// Delayed jobs count too: sweeping again would pull forward the retry of every user who is still missing.
async function isDue({ queues, sweeps, now }: ScheduleSweepsOptions): Promise<boolean> {
  const last = await sweeps.last();
  if (last === undefined) return true;
  if (now() - last.finishedAt < pauseFactor * (last.finishedAt - last.startedAt)) return false;
  return (await queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")) === 0;
}
