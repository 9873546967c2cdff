import { setTimeout as delay } from "node:timers/promises";
import { KindlingError } from "kindling";
import { estimateTotal } from "../kinde/ids.ts";
import type { ReportProgress } from "../progress.ts";
import type { SweepQueue } from "./queue.ts";
import { currentSweep, failedSweep } from "./queue.ts";
import type { FinishedSweep, SweepLog } from "./sweep-log.ts";

/** Options for {@link waitForSweep}. */
export interface WaitForSweepOptions {
  queues: Pick<SweepQueue, "sweep" | "enqueueSweep">;
  sweeps: Pick<SweepLog, "last">;
  /** Ignores sweeps that began before this number was drawn. */
  after: number;
  /** Id of the job of a sweep that is under way and can have begun before: another one is enqueued when it ends. */
  earlier: string | undefined;
  /** Ignores the failed sweep with this id. */
  afterFailed: string | undefined;
  onProgress: ReportProgress;
  signal: AbortSignal;
}

const pollMs = 250;

/**
 * Waits for a sweep to complete and reports its progress. One that is under way already does not count: it can have passed
 * users that changed since. Another one is enqueued when it ends.
 *
 * @throws {KindlingError} `sweep_failed` if the sweep gives up
 * @throws the signal's reason once it is aborted
 */
export async function waitForSweep(options: WaitForSweepOptions): Promise<FinishedSweep> {
  const { queues, sweeps, after, earlier, afterFailed, onProgress, signal } = options;
  let waitsForEarlier = earlier !== undefined;
  for (;;) {
    signal.throwIfAborted();
    const last = await sweeps.last();
    if (last !== undefined && last.mark.number > after) return last;
    const failed = await failedSweep(queues);
    if (failed !== undefined && failed.id !== afterFailed && failed.id !== earlier) {
      throw new KindlingError("sweep_failed", `The sweep gave up. ${failed.reason}`);
    }
    if (waitsForEarlier) waitsForEarlier = (await queues.enqueueSweep()) === earlier;
    const state = (await currentSweep(queues))?.state;
    if (state === undefined) onProgress({ type: "waiting", for: "workers", ms: pollMs });
    else if (state.phase !== "listing") onProgress({ type: "advanced", done: state.users, total: state.users });
    else {
      const total = estimateTotal([state.cursor ?? ""], state.users);
      onProgress({ type: "advanced", done: state.users, total });
    }
    await delay(pollMs, undefined, { signal }).catch(() => undefined);
  }
}
