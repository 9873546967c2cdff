import { setTimeout as delay } from "node:timers/promises";
import { DelayedError, type Job } from "bullmq";
import type { FleetSetting } from "../src/redis/fleet-setting.ts";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import type { SweepPace } from "../src/sweep/pace.ts";
import type { SweepJob, SweepQueue } from "../src/sweep/queue.ts";
import type { SweepLog } from "../src/sweep/sweep-log.ts";
import type { Walks } from "../src/sweep/walks.ts";
import { storedWalks } from "../src/sweep/walks-state.ts";
import { handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of {@link runWalks}. */
export interface WalkJobOptions {
  queues: Pick<RefreshQueues, "bulk" | "enqueueSwept"> & Pick<SweepQueue, "enqueueMoreWalks">;
  walks: Walks;
  sweeps: Pick<SweepLog, "last">;
  pace: FleetSetting<SweepPace>;
  /** Calls to Kinde that the fleet can make in a minute. */
  perMinute: number;
  /** Walks pause as sweeps do, while more jobs than this wait in the bulk queue. */
  backlog: number;
}

const backlogPauseMs = 5_000;
/** A job fails when its worker was killed a few times, however long that took. So long walks go on in new jobs. */
const longestJobMs = 6 * 3_600_000;

/**
 * Runs the walks that are due, in turn and a call each, until none is left. All together they take the share of the call
 * budget that the sweep takes too.
 */
export async function runWalks(options: WalkJobOptions, deps: WorkerDeps, job: Job<SweepJob>): Promise<void> {
  const { queues, walks, sweeps, pace, perMinute, backlog } = options;
  const { now, log, signal, closing } = deps;
  // A store that is filled for the first time has nothing to compare.
  if ((await sweeps.last()) === undefined) return;
  const { share } = await pace.read();
  if (share === 0) return;
  const slot = 60_000 / (share * perMinute);
  let state = storedWalks.parse(job.data.state) ?? { walks: {}, turn: 0 };
  for (;;) {
    if ((await queues.bulk.getWaitingCount()) > backlog) {
      await job.moveToDelayed(now() + backlogPauseMs, job.token);
      throw new DelayedError();
    }
    const began = now();
    const step = await walks.step(await walks.beginDue(state), { priority: "bulk", signal });
    if (step === undefined) return;
    await queues.enqueueSwept(step);
    ({ state } = step);
    const stored = storedWalks.versioned(state);
    await job.updateData({ state: stored, forgiven: job.attemptsMade });
    if (step.finished) log.info({ ...step.finished }, "walk completed");
    if (step.failed) log.warn({ ...step.failed }, "walk given up: what it compares is refreshed by age only");
    if (step.unanswered) log.warn({ ...step.unanswered }, "walk paused: Kinde answers others, but not this step");
    if (now() - job.timestamp > longestJobMs) return queues.enqueueMoreWalks(stored);
    if (step.waitMs !== undefined) {
      await job.moveToDelayed(now() + step.waitMs, job.token);
      throw new DelayedError();
    }
    const restMs = Math.max(0, Math.min(step.calls * slot, began + step.calls * slot - now()));
    await delay(restMs, undefined, { signal: closing }).catch(() => undefined);
    await handBackIfClosing(deps, job);
  }
}
