import type { Queues } from "../redis/queues.ts";

/** A sweep that gave up. */
export interface FailedSweep {
  id: string;
  /** Milliseconds since the epoch. */
  failedAt: number;
  reason: string;
}

/** The latest sweep that gave up; its job is kept until many others have failed. */
export async function failedSweep({ sweep }: Pick<Queues, "sweep">): Promise<FailedSweep | undefined> {
  const jobs = await sweep.getFailed(0, 20);
  const job = jobs.find((failed) => failed?.name === "sweep");
  return job && { id: job.id ?? "", failedAt: job.finishedOn ?? 0, reason: job.failedReason };
}
