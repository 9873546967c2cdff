import type { Queues } from "./queues.ts";
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
  if (intervalMs === 0) {
    await queues.sweep.removeJobScheduler("tick");
    return;
  }
  const scheduled = await queues.sweep.getJobScheduler("tick");
  if (scheduled?.every !== intervalMs) {
    await queues.sweep.upsertJobScheduler("tick", { every: intervalMs }, { name: "tick", data: {} });
  }
  if ((await sweeps.last()) === undefined) await queues.enqueueSweep();
}
