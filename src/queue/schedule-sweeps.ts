import type { Queues } from "./queues.ts";
import { scheduleTick } from "./schedule-tick.ts";
import type { SweepLog } from "./sweep-log.ts";

/** What scheduling needs. */
export interface ScheduleSweepsOptions {
  queues: Pick<Queues, "sweep" | "enqueueSweep">;
  sweeps: Pick<SweepLog, "last">;
  /** Time between two sweeps of the fleet, in milliseconds; 0 for none. */
  intervalMs: number;
}

/**
 * Sees to it that sweeps are scheduled, once for the fleet, and that a store which was never swept through (new, or
 * wiped) is swept now. Cheap, and meant to be called again and again: a wiped Redis has lost the schedule too.
 */
export async function scheduleSweeps({ queues, sweeps, intervalMs }: ScheduleSweepsOptions): Promise<void> {
  await scheduleTick(queues.sweep, intervalMs);
  if (intervalMs > 0 && (await sweeps.last()) === undefined) await queues.enqueueSweep();
}
