import { setTimeout as delay } from "node:timers/promises";
import type { Progress } from "../cli/progress.ts";
import type { Queues } from "./queues.ts";

/** What waiting for room needs. */
export interface RoomInQueueOptions {
  queues: Pick<Queues, "bulk">;
  /** Jobs that may wait in the bulk queue: Redis need not hold a job for every user. */
  backlog: number;
  progress: Pick<Progress, "waiting">;
  signal: AbortSignal;
}

const roomCheckMs = 500;

/**
 * Waits until the bulk queue has room.
 *
 * @throws the signal's reason once it is aborted
 */
export async function roomInQueue({ queues, backlog, progress, signal }: RoomInQueueOptions): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { waiting = 0, delayed = 0 } = await queues.bulk.getJobCounts("waiting", "delayed");
    if (waiting + delayed < backlog) return;
    progress.waiting("workers", roomCheckMs);
    await delay(roomCheckMs, undefined, { signal }).catch(() => undefined);
  }
}
