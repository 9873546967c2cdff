import { setTimeout as delay } from "node:timers/promises";
import type { Job } from "bullmq";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import { pauseAfter, pauseAfterFailure, type RecentChecks } from "../src/sweep/check-recent.ts";
import type { SweepJob } from "../src/sweep/queue.ts";
import { areChecksOfUse, type ScheduleRecentOptions } from "../src/sweep/schedule.ts";
import { handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of {@link checkRecentUsers}. */
export interface RecentJobOptions extends Omit<ScheduleRecentOptions, "queues"> {
  queues: Pick<RefreshQueues, "requests" | "enqueueRecentlyChanged">;
  recentChecks: RecentChecks;
}

/** Refreshes that wait before checks pause: readers' requests share their queue. */
const mostWaiting = 100;
const roomPauseMs = 5_000;

/**
 * Compares recently active users with Kinde until nobody is active. Users that differ are refreshed like those that
 * readers ask for: after events, before other users that a sweep found.
 */
export async function checkRecentUsers(options: RecentJobOptions, deps: WorkerDeps, job: Job<SweepJob>): Promise<void> {
  const { queues, recentChecks, recent, perMinute } = options;
  const { now, log, signal, closing } = deps;
  const rest = async (ms: number) => {
    await delay(ms, undefined, { signal: closing }).catch(() => undefined);
    await handBackIfClosing(deps, job);
  };
  for (;;) {
    if (!(await areChecksOfUse(options))) return;
    if ((await queues.requests.getJobCountByTypes("waiting", "prioritized")) > mostWaiting) {
      await rest(roomPauseMs);
      continue;
    }
    const began = now();
    const step = await recentChecks.step({ priority: "bulk", signal }).catch(async (error: unknown) => {
      await rest(pauseAfterFailure({ share: recent.share, perMinute }));
      throw error;
    });
    await queues.enqueueRecentlyChanged(step.refresh);
    if (step.failed !== undefined)
      log.warn({ reason: step.failed }, "checks of recently active users given up: only sweeps find their changes");
    // Attempts before a success do not count.
    if (job.attemptsMade > (job.data.forgiven ?? 0)) await job.updateData({ forgiven: job.attemptsMade });
    if (step.waitMs === undefined) return;
    await rest(pauseAfter(step, { share: recent.share, perMinute, spentMs: Math.max(0, now() - began) }));
  }
}
