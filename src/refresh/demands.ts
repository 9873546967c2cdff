import type { QueueOptions } from "../redis/queue.ts";
import type { RefreshRequest } from "../redis/refresh-requests.ts";
import { defineScript, noAnswer } from "../redis/script.ts";

/**
 * The strictest refresh request of each user with a job. A request that joins a waiting job leaves the job's data as it
 * is, so that the job alone would answer a strict request with a fetch that satisfies only a laxer one.
 */
export interface Demands {
  /** Notes requests. Must be called before their jobs are added. */
  raise(requests: readonly RefreshRequest[]): Promise<void>;
  /** Returns the oldest acceptable fetch in milliseconds since the epoch, 0 if any is acceptable. */
  strictest(userId: string): Promise<number>;
  /** Forgets the requests that a record fetched at this time satisfies. */
  satisfy(userId: string, fetchedAt: number): Promise<void>;
}

/**
 * Demands kept. Those of failed jobs and of unknown users stay behind, so the oldest give way: far more than there can be jobs
 * of requests.
 */
export const mostDemands = 5_000;

const satisfyDemand = defineScript("satisfy-demand", {
  call: (input: { key: string; userId: string; fetchedAt: number }) => ({
    keys: [input.key],
    args: [input.userId, input.fetchedAt],
  }),
  answer: noAnswer,
});

/** Creates the demands over one connection. */
export function createDemands({ redis, keys }: Pick<QueueOptions, "redis" | "keys">): Demands {
  const key = `${keys.queues}:demands`;
  return {
    async raise(requests) {
      // App servers write the scores, which can be infinite.
      const finite = requests.filter(({ freshSince }) => Number.isFinite(freshSince));
      if (finite.length === 0) return;
      await redis
        .multi()
        .zadd(key, "GT", ...finite.flatMap(({ userId, freshSince }) => [freshSince, userId]))
        .zremrangebyrank(key, 0, -1 - mostDemands)
        .exec();
    },
    async strictest(userId) {
      return Number((await redis.zscore(key, userId)) ?? 0);
    },
    async satisfy(userId, fetchedAt) {
      await satisfyDemand(redis, { key, userId, fetchedAt });
    },
  };
}
