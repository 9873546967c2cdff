import { type JobsOptions, Queue, type Span, SpanKind, type Telemetry } from "bullmq";
import { BullMQOtel } from "bullmq-otel";
import { isTracing } from "../trace.ts";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";

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
