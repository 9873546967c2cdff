import { setTimeout as delay } from "node:timers/promises";
import type { Job } from "bullmq";
import type { FleetSetting } from "../src/redis/fleet-setting.ts";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import { pauseAfter, type RecentChecks } from "../src/sweep/check-recent.ts";
import { areChecksWorthwhile, type SweepPace } from "../src/sweep/pace.ts";
import type { SweepJob } from "../src/sweep/queue.ts";
import type { SweepLog } from "../src/sweep/sweep-log.ts";
import { handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of {@link checkRecentUsers}. */
export interface RecentJobOptions {
  queues: Pick<RefreshQueues, "requests" | "enqueueRecentlyChanged">;
  recentChecks: RecentChecks;
  sweeps: Pick<SweepLog, "last">;
  pace: FleetSetting<SweepPace>;
  /** Share of the call budget that checks use, from 0 to 1, and the shortest time between two checks of a user. */
  recent: { share: number; intervalMs: number };
  /** Calls to Kinde that the fleet can make in a minute. */
  perMinute: number;
  /** Users per call of a sweep. */
  pageSize: number;
}

/** Refreshes that wait before checks pause: readers' requests share their queue. */
const mostWaiting = 100;
const roomPauseMs = 5_000;

/**
 * Compares recently active users with Kinde until nobody is active. Users that differ are refreshed like those that
 * readers ask for: after events, before other users that a sweep found.
 */
export async function checkRecentUsers(options: RecentJobOptions, deps: WorkerDeps, job: Job<SweepJob>): Promise<void> {
  const { queues, recentChecks, sweeps, pace, recent, perMinute, pageSize } = options;
  const { now, log, signal, closing } = deps;
  if (recent.share === 0) return;
  const rest = async (ms: number) => {
    await delay(ms, undefined, { signal: closing }).catch(() => undefined);
    await handBackIfClosing(deps, job);
  };
  for (;;) {
    const [last, setting] = await Promise.all([sweeps.last(), pace.read()]);
    if (!areChecksWorthwhile(last, { ...setting, perMinute, pageSize }, recent.intervalMs)) return;
    if ((await queues.requests.getJobCountByTypes("waiting", "prioritized")) > mostWaiting) {
      await rest(roomPauseMs);
      continue;
    }
    const began = now();
    const step = await recentChecks.step({ priority: "bulk", signal });
    await queues.enqueueRecentlyChanged(step.refresh);
    if (step.failed !== undefined)
      log.warn({ reason: step.failed }, "checks of recently active users given up: only sweeps find their changes");
    // Attempts before a success do not count.
    if (job.attemptsMade > (job.data.forgiven ?? 0)) await job.updateData({ forgiven: job.attemptsMade });
    if (step.waitMs === undefined) return;
    await rest(pauseAfter(step, { share: recent.share, perMinute, spentMs: Math.max(0, now() - began) }));
  }
}
