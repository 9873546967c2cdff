import { setTimeout as delay } from "node:timers/promises";
import type { FinishedSweep, SweepLog } from "../../queue/sweep-log.ts";

/** What waiting needs. */
export interface WaitForSweepOptions {
  sweeps: Pick<SweepLog, "last">;
  /** Number of the last sweep that does not count. */
  after: number;
  signal: AbortSignal;
}

const lookEveryMs = 250;

/**
 * Waits for a sweep to go through.
 *
 * @throws the signal's reason once it is aborted
 */
export async function waitForSweep({ sweeps, after, signal }: WaitForSweepOptions): Promise<FinishedSweep> {
  for (;;) {
    signal.throwIfAborted();
    const last = await sweeps.last();
    if (last !== undefined && last.mark.number > after) return last;
    await delay(lookEveryMs, undefined, { signal }).catch(() => undefined);
  }
}
