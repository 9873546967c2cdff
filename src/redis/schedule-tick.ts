import type { Queue } from "bullmq";

/** What scheduling needs of a queue. */
export type TickedQueue = Pick<Queue, "getJobScheduler" | "upsertJobScheduler" | "removeJobScheduler">;

/**
 * Sees to it that a queue gets a job `tick` at this interval, once for the fleet; 0: none. Cheap, and meant to be called
 * again and again: a wiped Redis has lost the schedule too.
 */
export async function scheduleTick(queue: TickedQueue, intervalMs: number): Promise<void> {
  if (intervalMs === 0) {
    await queue.removeJobScheduler("tick");
    return;
  }
  const scheduled = await queue.getJobScheduler("tick");
  if (scheduled?.every === intervalMs) return;
  await queue.upsertJobScheduler("tick", { every: intervalMs }, { name: "tick", data: {} });
}
