import { type JobsOptions, Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Keys } from "./keys.ts";

/** Options for {@link openQueue}. */
export interface QueueOptions {
  /** A connection whose commands end in bounded time. */
  redis: Redis;
  keys: Pick<Keys, "queues">;
  onError: (error: Error) => void;
}

/** A job that records how far it has come. */
export interface LongJob {
  /** Failed attempts before it last made progress: they no longer count against the job. */
  forgiven?: number;
}

/** Opens a queue. Its jobs never run out of attempts by themselves: the workers decide when one gives up. */
export function openQueue<Data>(name: string, { redis, keys, onError }: QueueOptions): Queue<Data> {
  const queue = new Queue<Data>(name, {
    connection: redis,
    prefix: keys.queues,
    defaultJobOptions: { attempts: 1_000_000, backoff: { type: "custom" } },
    streams: { events: { maxLen: 1_000 } },
  });
  queue.on("error", onError);
  return queue;
}

/**
 * Deduplicates by an id: one job waits, one that arrives while it runs follows it, and a waiting retry is pulled forward.
 * BullMQ's other modes would drop an event that arrives while its user is being fetched.
 */
export function untilLatest(id: string): JobsOptions {
  return { deduplication: { id, keepLastIfActive: true, reschedule: true } };
}

/** The part of a queue that {@link scheduleTick} uses. */
export type TickedQueue = Pick<Queue, "getJobScheduler" | "upsertJobScheduler" | "removeJobScheduler">;

/**
 * Makes a queue get a job `tick` at this interval, once for the fleet; 0 removes it. Cheap, and meant to be called
 * repeatedly: a wiped Redis has lost the schedule too.
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
