import { scheduleTick } from "../redis/queue.ts";
import type { RefreshQueues } from "../refresh/queues.ts";
import type { SweepQueue } from "./queue.ts";
import type { Completeness, SweepLog } from "./sweep-log.ts";

/** What scheduling needs. */
export interface ScheduleSweepsOptions {
  queues: Pick<RefreshQueues, "bulk"> & SweepQueue;
  sweeps: Pick<SweepLog, "last">;
  completeness: Pick<Completeness, "since">;
  /** Time between two sweeps of the fleet, in milliseconds; 0 for none. */
  intervalMs: number;
  now: () => number;
}

/** While a store is not complete, sweeps rest so many times as long as the last one took. */
const rest = 10;

/**
 * Sees to it that sweeps are scheduled, once for the fleet, and that a store which does not hold everybody (new, or
 * wiped) is filled now: swept, and swept again when the refreshes that the first sweep asked for are through. Cheap, and
 * meant to be called again and again: a wiped Redis has lost the schedule too.
 */
export async function scheduleSweeps(options: ScheduleSweepsOptions): Promise<void> {
  const { queues, completeness, intervalMs } = options;
  await scheduleTick(queues.sweep, intervalMs);
  if (intervalMs === 0 || (await completeness.since()) !== undefined) return;
  if (await isDue(options)) await queues.enqueueSweep();
}

// A user whose retry is put off would be pulled forward by every sweep that misses them.
async function isDue({ queues, sweeps, now }: ScheduleSweepsOptions): Promise<boolean> {
  const last = await sweeps.last();
  if (last === undefined) return true;
  if (now() - last.finishedAt < rest * (last.finishedAt - last.startedAt)) return false;
  return (await queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")) === 0;
}
