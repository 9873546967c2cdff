import { DelayedError, type Job, type Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { errorFields, type Log } from "../src/log.ts";
import type { Ledger } from "../src/redis/ledger.ts";
import type { LongJob } from "../src/redis/queue.ts";
import { jobError, RetryError } from "./job-errors.ts";

/** What every worker of a process shares. */
export interface WorkerDeps {
  /** A connection whose commands wait for Redis; BullMQ opens another like it to block on. */
  connection: Redis;
  prefix: string;
  /** Attempts before a job is given up, and the bounds of the pauses between them. */
  retry: { attempts: number; baseMs: number; maxMs: number };
  now: () => number;
  log: Log;
  /** Aborted when the process begins to shut down: long jobs go back at their next step. */
  closing: AbortSignal;
  /** Aborted when jobs in hand must end. */
  signal: AbortSignal;
}

/** One worker: which queue, how many jobs at once, and what a job does. */
export interface WorkerSpec<Data> {
  queue: Queue<Data>;
  concurrency: number;
  /** Where a job that gives up is noted; absent where the next one makes up for it. */
  ledger?: Ledger;
  /** Who stands in the ledger for this job. */
  member(data: Data): string;
  process(job: Job<Data>): Promise<unknown>;
}

// A killed worker's jobs are taken over when their lock has expired and the next check sees it: 25 s at the latest.
const lockMs = 15_000;
const stalledCheckMs = 10_000;
/** A job that takes its process down with it comes back so often before it fails. */
const takeovers = 5;

/** Failed jobs kept for a dashboard's sake; the ledger keeps every failure itself. */
const failedJobsKept = 1_000;

/** A BullMQ worker whose jobs end as the ledger and the retry rules want them to. */
export function createWorker<Data>(deps: WorkerDeps, spec: WorkerSpec<Data>): Worker<Data> {
  const { connection, prefix, retry, now, log, signal } = deps;
  const worker = new Worker<Data>(
    spec.queue.name,
    async (job, token) => {
      const member = spec.member(job.data);
      try {
        return await spec.process(job);
      } catch (error) {
        // The job put itself off, and is no failure.
        if (error instanceof DelayedError) throw error;
        const attempt = attemptOf(job);
        log.warn({ queue: spec.queue.name, member, attempt, ...errorFields(error) }, "job did not finish");
        throw await jobError(error, job, token, {
          queue: spec.queue,
          ledger: spec.ledger,
          member,
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
      lockDuration: lockMs,
      stalledInterval: stalledCheckMs,
      maxStalledCount: takeovers,
      runRetryDelay: 1_000,
      maximumRateLimitDelay: 1_000,
      // BullMQ heeds `queue.rateLimit` only where a limiter is set; this one never limits by itself.
      limiter: { max: Number.MAX_SAFE_INTEGER, duration: 1_000 },
      // Said here and not with each job, whose options Redis keeps whole.
      removeOnComplete: { count: 0 },
      removeOnFail: { count: failedJobsKept },
      settings: {
        backoffStrategy: (_attemptsMade, _type, error) =>
          error instanceof RetryError && !error.fresh ? backoff(error.attempt, retry) : retry.baseMs,
      },
    },
  );
  // BullMQ fails a job that has taken down one process after another by itself, without asking us.
  worker.on("failed", (job) => {
    if (job?.deferredFailure === undefined) return;
    const message = "Its worker died, time and again.";
    const failure = { code: "job_stalled", message, failedAt: now(), attempts: takeovers, final: true };
    spec.ledger?.fail(spec.member(job.data), failure).catch((error: unknown) => {
      log.warn({ queue: spec.queue.name, ...errorFields(error) }, "failure not noted");
    });
  });
  worker.on("error", (error) => log.warn({ queue: spec.queue.name, ...errorFields(error) }, "worker error"));
  return worker;
}

/** Hands a long job back, with the place it has come to, once the process is shutting down: another goes on at once. */
export async function handBackIfClosing({ closing, now }: WorkerDeps, job: Job): Promise<void> {
  if (!closing.aborted) return;
  await job.moveToDelayed(now(), job.token);
  throw new DelayedError();
}

/** Which attempt this is, of those that count. */
function attemptOf({ attemptsMade, data }: Pick<Job, "attemptsMade" | "data">): number {
  return attemptsMade + 1 - ((data as LongJob).forgiven ?? 0);
}

/** Doubles from `baseMs` up to `maxMs`; the upper half is random, so that many failed together do not return together. */
export function backoff(attempt: number, { baseMs, maxMs }: { baseMs: number; maxMs: number }): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(full / 2 + (Math.random() * full) / 2);
}
