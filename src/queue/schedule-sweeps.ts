import type { Completeness } from "../cache/completeness.ts";
import type { Queues } from "./queues.ts";
import { scheduleTick } from "./schedule-tick.ts";
import type { SweepLog } from "./sweep-log.ts";

/** What scheduling needs. */
export interface ScheduleSweepsOptions {
  queues: Pick<Queues, "sweep" | "bulk" | "enqueueSweep">;
  sweeps: Pick<SweepLog, "last">;
  completeness: Pick<Completeness, "since">;
  /** Time between two sweeps of the fleet, in milliseconds; 0 for none. */
  intervalMs: number;
}

/**
 * Sees to it that sweeps are scheduled, once for the fleet, and that a store which does not hold everybody (new, or
 * wiped) is filled now: swept, and swept again when the refreshes that the first sweep asked for are through. Cheap, and
 * meant to be called again and again: a wiped Redis has lost the schedule too.
 */
export async function scheduleSweeps({
  queues,
  sweeps,
  completeness,
  intervalMs,
}: ScheduleSweepsOptions): Promise<void> {
  await scheduleTick(queues.sweep, intervalMs);
  if (intervalMs === 0 || (await completeness.since()) !== undefined) return;
  const neverSwept = (await sweeps.last()) === undefined;
  const { waiting = 0, active = 0 } = await queues.bulk.getJobCounts("waiting", "active");
  if (neverSwept || waiting + active === 0) await queues.enqueueSweep();
}
