import type { Queues } from "../redis/queues.ts";

/** Users whose refresh is under way in some process of the fleet. */
export async function usersInHand({ refresh, bulk }: Pick<Queues, "refresh" | "bulk">): Promise<string[]> {
  const jobs = await Promise.all([refresh.getActive(), bulk.getActive()]);
  return [...new Set(jobs.flat().map(({ data }) => data.userId))];
}
