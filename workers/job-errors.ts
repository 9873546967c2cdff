import { DelayedError, type Job, type Queue, UnrecoverableError, Worker } from "bullmq";
import { KindlingError } from "kindling";
import { errorCode, KindeError, ThrottledError } from "../src/errors.ts";
import type { Failure, Ledger } from "../src/redis/ledger.ts";

/** What a job's error is turned into, and by what. */
export interface JobErrorOptions {
  queue: Pick<Queue, "rateLimit">;
  /** Where a job that gives up is noted. */
  ledger: Ledger | undefined;
  member: string;
  /** Which attempt failed, and whether it was the last. */
  attempt: { number: number; last: boolean };
  now: () => number;
  /** Whether the process is shutting down: the job then goes back untouched. */
  stopping: () => boolean;
}

/** A failed attempt that is tried again. */
export class RetryError extends Error {
  /** An event came during the attempt: its refresh must not wait as long as the failure alone would have it. */
  readonly fresh: boolean;
  readonly attempt: number;

  constructor(message: string, { fresh, attempt }: { fresh: boolean; attempt: number }) {
    super(message);
    this.fresh = fresh;
    this.attempt = attempt;
  }
}

/** A shorter pause than this stops the whole queue; in a longer one each job is put off by itself. */
const shortPauseMs = 5_000;
/** So often a job may be sent back to the head of its queue before it must let others pass. */
const headStarts = 10;

/**
 * The error to throw to BullMQ:
 * - throttled: the job waits on with no attempt consumed. For a short pause the queue stops; for a long one the job is
 *   put off, so that those which need no call (deletions) still get through;
 * - shutting down: the job waits on likewise, for another process;
 * - a wrong configuration or request: it fails at once, as no retry can help, and shows in the ledger;
 * - anything else: it is tried again later, and after the last attempt shows in the ledger.
 */
export async function jobError(error: unknown, job: Job, token: string | undefined, options: JobErrorOptions) {
  const { queue, ledger, member, attempt, now, stopping } = options;
  if (stopping()) return putOff(job, now(), token);
  if (error instanceof ThrottledError) {
    const { retryAfterMs } = error;
    const tooOften = (job.attemptsStarted - job.attemptsMade) % headStarts === 0;
    if (retryAfterMs > shortPauseMs || tooOften) return putOff(job, now() + retryAfterMs, token);
    await queue.rateLimit(retryAfterMs);
    return Worker.RateLimitError();
  }
  const final = attempt.last || isFinal(error);
  if (final) await ledger?.fail(member, failure(error, attempt.number, now()));
  // BullMQ stores and shows the message: only ours are known to hold nothing personal.
  const message = error instanceof KindlingError ? `${error.code}: ${error.message}` : errorCode(error);
  if (final) return new UnrecoverableError(message);
  const latest = (await ledger?.latest(member)) ?? 0;
  const fresh = latest / 1000 >= (job.processedOn ?? Number.POSITIVE_INFINITY);
  return new RetryError(message, { fresh, attempt: attempt.number });
}

async function putOff(job: Job, until: number, token: string | undefined): Promise<DelayedError> {
  await job.moveToDelayed(until, token);
  return new DelayedError();
}

function isFinal(error: unknown): boolean {
  return (
    error instanceof KindeError && ["kinde_unauthorized", "kinde_forbidden", "kinde_rejected"].includes(error.code)
  );
}

function failure(error: unknown, attempts: number, failedAt: number): Failure {
  const message = error instanceof KindlingError ? error.message : "Unexpected: see the log of the worker.";
  return { code: errorCode(error), message, failedAt, attempts, final: isFinal(error) };
}
