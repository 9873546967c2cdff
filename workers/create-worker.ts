import { DelayedError, type Job, type Queue, Worker } from "bullmq";
import { errorFields, type Log } from "../src/log.ts";
import type { RedisClient } from "../src/redis/client.ts";
import type { Ledger } from "../src/redis/ledger.ts";
import { type LongJob, queueMs, queueTelemetry } from "../src/redis/queue.ts";
import { jobError, RetryError } from "./job-errors.ts";

/** Dependencies that all workers of a process share. */
export interface WorkerDeps {
  /** A connection whose commands wait while Redis is down. BullMQ duplicates it for blocking commands. */
  connection: RedisClient;
  prefix: string;
  /** Attempts before a job fails for good, and the bounds of the backoff between them. */
  retry: { attempts: number; baseMs: number; maxMs: number };
  now: () => number;
  log: Log;
  /** Aborted when shutdown starts: long jobs return to their queue at the next step. */
  closing: AbortSignal;
  /** Aborted when active jobs must end. */
  signal: AbortSignal;
}

/** Options for {@link createWorker}. */
export interface WorkerSpec<Data> {
  queue: Queue<Data>;
  concurrency: number;
  /** Records jobs that fail for good. Absent if the next job makes up for a failed one. */
  ledger?: Ledger;
  /** Returns the ledger member of a job. */
  member(data: Data): string;
  /** Calls `onTicket` if it draws a ticket: an event with a later one is worth an early retry. */
  process(job: Job<Data>, onTicket: (ticket: number) => void): Promise<unknown>;
}

/** How often a job that crashes its process is taken over before it fails. */
const takeovers = 5;

/** How long an idle worker waits for a job before it asks again. Jobs wake it: a wait that ends costs a dozen commands. */
const idleSeconds = 15;

/** Failed jobs kept for dashboards. The ledger keeps every failure. */
const failedJobsKept = 1_000;

/** Creates a BullMQ worker that applies the retry rules and records failures in the ledger. */
export function createWorker<Data>(deps: WorkerDeps, spec: WorkerSpec<Data>): Worker<Data> {
  const { connection, prefix, retry, now, log, signal } = deps;
  const worker = new Worker<Data>(
    spec.queue.name,
    async (job, token) => {
      const member = spec.member(job.data);
      let ticket: number | undefined;
      try {
        return await spec.process(job, (drawn) => {
          ticket = drawn;
        });
      } catch (error) {
        // The job postponed itself, which is not a failure.
        if (error instanceof DelayedError) throw error;
        const attempt = attemptOf(job);
        log.warn({ queue: spec.queue.name, member, attempt, ...errorFields(error) }, "job attempt failed");
        throw await jobError(error, job, token, {
          queue: spec.queue,
          ledger: spec.ledger,
          member,
          ticket,
          attempt: { number: attempt, last: attempt >= retry.attempts },
          now,
          stopping: () => signal.aborted,
        });
      }
    },
    {
      connection,
      prefix,
      concurrency: spec.concurrency,
      ...queueTelemetry(),
      lockDuration: queueMs.lock,
      stalledInterval: queueMs.stalledCheck,
      drainDelay: idleSeconds,
      maxStalledCount: takeovers,
      runRetryDelay: 1_000,
      maximumRateLimitDelay: 1_000,
      // BullMQ honors `queue.rateLimit` only if a limiter is set. This one never limits anything itself.
      limiter: { max: Number.MAX_SAFE_INTEGER, duration: 1_000 },
      // Set here rather than per job, because Redis stores the options of every job.
      removeOnComplete: { count: 0 },
      removeOnFail: { count: failedJobsKept },
      settings: {
        backoffStrategy: (_attemptsMade, _type, error) =>
          error instanceof RetryError && !error.fresh ? backoff(error.attempt, retry) : retry.baseMs,
      },
    },
  );
  // BullMQ fails a job that crashed several processes without calling the processor.
  worker.on("failed", (job) => {
    if (job?.deferredFailure === undefined) return;
    const message = "The job repeatedly crashed its worker.";
    const failure = { code: "job_stalled", message, failedAt: now(), attempts: takeovers, final: true };
    spec.ledger?.fail(spec.member(job.data), failure).catch((error: unknown) => {
      log.warn({ queue: spec.queue.name, ...errorFields(error) }, "failure could not be recorded in the ledger");
    });
  });
  worker.on("error", (error) => log.warn({ queue: spec.queue.name, ...errorFields(error) }, "worker error"));
  return worker;
}

/** Returns a long job to its queue if the process is shutting down, so that another process continues it at once. */
export async function handBackIfClosing({ closing, now }: WorkerDeps, job: Job): Promise<void> {
  if (!closing.aborted) return;
  await job.moveToDelayed(now(), job.token);
  throw new DelayedError();
}

/** Returns the number of this attempt, not counting forgiven ones. */
function attemptOf({ attemptsMade, data }: Pick<Job, "attemptsMade" | "data">): number {
  const { forgiven } = (data ?? {}) as LongJob;
  // Job data comes from Redis: with anything but a count the job would never give up.
  return attemptsMade + 1 - (Number.isSafeInteger(forgiven) ? Math.min(Number(forgiven), attemptsMade) : 0);
}

/** Exponential backoff from `baseMs` to `maxMs`. Half of it is jitter, so that jobs that failed together spread out. */
export function backoff(attempt: number, { baseMs, maxMs }: { baseMs: number; maxMs: number }): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(full / 2 + (Math.random() * full) / 2);
}
