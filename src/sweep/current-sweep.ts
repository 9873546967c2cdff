import type { Queues, SweepJob } from "../redis/queues.ts";

/** The sweep that is waiting or under way; it has a `state` once a worker has taken its first page. */
export async function currentSweep({ sweep }: Pick<Queues, "sweep">): Promise<SweepJob | undefined> {
  const jobs = await sweep.getJobs(["active", "waiting", "delayed"]);
  return jobs.find((job) => job?.name === "sweep")?.data;
}
