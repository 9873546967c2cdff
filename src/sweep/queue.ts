import type { Queue } from "bullmq";
import { type LongJob, openQueue, type QueueOptions } from "../redis/queue.ts";
import type { SweepState } from "./sweep.ts";

/** `tick`: it is time for a sweep. `sweep`: one sweep, with how far it has come. */
export interface SweepJob extends LongJob {
  state?: SweepState;
}

/** The queue of sweeps. */
export interface SweepQueue {
  sweep: Queue<SweepJob>;
  /** Enqueues a sweep, unless one is waiting or running: the fleet runs one at a time. */
  enqueueSweep(): Promise<void>;
}

/** Opens the queue of sweeps. */
export function createSweepQueue(options: QueueOptions): SweepQueue {
  const sweep = openQueue<SweepJob>("sweep", options);
  return {
    sweep,
    async enqueueSweep() {
      await sweep.add("sweep", {}, { deduplication: { id: "sweep" } });
    },
  };
}

/** Returns the sweep that is waiting or running. It has a `state` once a worker has taken its first page. */
export async function currentSweep({ sweep }: Pick<SweepQueue, "sweep">): Promise<SweepJob | undefined> {
  const jobs = await sweep.getJobs(["active", "waiting", "delayed"]);
  return jobs.find((job) => job?.name === "sweep")?.data;
}

/** A sweep that gave up. */
export interface FailedSweep {
  id: string;
  /** Milliseconds since the epoch. */
  failedAt: number;
  reason: string;
}

/** Returns the latest sweep that gave up. Its job is kept until many others have failed. */
export async function failedSweep({ sweep }: Pick<SweepQueue, "sweep">): Promise<FailedSweep | undefined> {
  const jobs = await sweep.getFailed(0, 20);
  const job = jobs.find((failed) => failed?.name === "sweep");
  return job && { id: job.id ?? "", failedAt: job.finishedOn ?? 0, reason: job.failedReason };
}
