import { setTimeout as delay } from "node:timers/promises";
import { KindlingError } from "kindling";
import type { Progress } from "../cli/progress.ts";
import { estimateTotal } from "../kinde/estimate-total.ts";
import type { Queues } from "../redis/queues.ts";
import { currentSweep } from "./current-sweep.ts";
import { failedSweep } from "./failed-sweep.ts";
import type { FinishedSweep, SweepLog } from "./sweep-log.ts";

/** What waiting needs. */
export interface WaitForSweepOptions {
  queues: Pick<Queues, "sweep">;
  sweeps: Pick<SweepLog, "last">;
  /** Number of the last sweep that does not count. */
  after: number;
  /** Id of the last sweep that had given up before. */
  afterFailed: string | undefined;
  progress: Progress;
  signal: AbortSignal;
}

const lookEveryMs = 250;

/**
 * Waits for a sweep to go through, and shows how far it is.
 *
 * @throws {KindlingError} `sweep_failed` when it gives up
 * @throws the signal's reason once it is aborted
 */
export async function waitForSweep(options: WaitForSweepOptions): Promise<FinishedSweep> {
  const { queues, sweeps, after, afterFailed, progress, signal } = options;
  progress.start(undefined);
  try {
    for (;;) {
      signal.throwIfAborted();
      const last = await sweeps.last();
      if (last !== undefined && last.mark.number > after) return last;
      const failed = await failedSweep(queues);
      if (failed !== undefined && failed.id !== afterFailed) {
        throw new KindlingError("sweep_failed", `The sweep gave up. ${failed.reason}`);
      }
      const state = (await currentSweep(queues))?.state;
      if (state === undefined) progress.waiting("workers", lookEveryMs);
      else if (state.phase === "unlisted") progress.update(state.users, state.users);
      else progress.update(state.users, estimateTotal([state.cursor ?? ""], state.users));
      await delay(lookEveryMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    progress.stop();
  }
}
