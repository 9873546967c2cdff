import { type JobsOptions, Queue, type Span, SpanKind, type Telemetry } from "bullmq";
import { BullMQOtel } from "bullmq-otel";
import { isTracing } from "../trace.ts";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { defineScript, noAnswer } from "./script.ts";

/** Options for {@link openQueue}. */
export interface QueueOptions {
  /** A connection whose commands time out. */
  redis: RedisClient;
  keys: Pick<Keys, "queues">;
  onError: (error: Error) => void;
}

/** Data of a job that saves its progress. */
export interface LongJob {
  /** Failed attempts before the job last made progress. They no longer count. */
  forgiven?: number;
}

/**
 * How long BullMQ keeps notes in Redis, in milliseconds: `lock` for an active job, unless its worker extends it,
 * `stalledCheck` until the next look for jobs without one, `limit` for the longest rate limit of a whole queue.
 *
 * A killed worker's job is taken over after its lock has expired and the next check has run: within 25 s, as BullMQ skips a
 * check that comes a moment before the last one's interval is over.
 */
export const queueMs = { lock: 15_000, stalledCheck: 5_000, limit: 5_000 };

const cutQueueLifetimes = defineScript("cut-queue-lifetimes", {
  call: (queue: Pick<Queue, "toKey">) => ({
    keys: [queue.toKey("stalled-check"), queue.toKey("limiter"), queue.toKey("active")],
    args: [queueMs.stalledCheck, queueMs.limit, queueMs.lock, queue.toKey("")],
  }),
  answer: noAnswer,
});

/**
 * Cuts these notes to their length. BullMQ does not: if Redis' clock steps back, a rate limit would stop its queue, and the
 * jobs of a killed worker stay active, until the clock is there again.
 */
export async function cutLifetimes(redis: RedisClient, queues: readonly Pick<Queue, "toKey">[]): Promise<void> {
  await cutQueueLifetimes.many(redis, queues);
}

/** Opens a queue. Its jobs never run out of attempts: the workers decide when a job gives up. */
export function openQueue<Data>(name: string, { redis, keys, onError }: QueueOptions): Queue<Data> {
  const queue = new Queue<Data>(name, {
    connection: redis,
    prefix: keys.queues,
    defaultJobOptions: { attempts: 1_000_000, backoff: { type: "custom" } },
    streams: { events: { maxLen: 1_000 } },
    ...queueTelemetry(),
  });
  queue.on("error", onError);
  return queue;
}

/** Returns the option that makes BullMQ carry traces in jobs; nothing without an SDK, so that jobs do not grow. */
export function queueTelemetry(): { telemetry?: Telemetry } {
  if (!isTracing()) return {};
  const { tracer, contextManager } = new BullMQOtel({ tracerName: "kindling" });
  const startSpan: typeof tracer.startSpan = (name, options, context) =>
    options.kind === SpanKind.INTERNAL ? silentSpan : tracer.startSpan(name, options, context);
  return { telemetry: { tracer: { startSpan }, contextManager } };
}

// Idle workers poll and look for stalled jobs every few seconds: traces of that would drown those of jobs.
const silentSpan: Span = {
  setSpanOnContext: (context) => context,
  setAttribute: () => undefined,
  setAttributes: () => undefined,
  addEvent: () => undefined,
  recordException: () => undefined,
  end: () => undefined,
};

/**
 * Deduplicates jobs by id: at most one waits, a job added while another runs follows it, and a waiting retry is pulled
 * forward. BullMQ's other modes would drop an event that arrives while its user is being fetched.
 */
export function untilLatest(id: string): JobsOptions {
  return { deduplication: { id, keepLastIfActive: true, reschedule: true } };
}
