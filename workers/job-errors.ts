import { DelayedError, type Job, type Queue, UnrecoverableError, Worker } from "bullmq";
import { KindlingError } from "kindling";
import { errorCode, KindeError, ThrottledError } from "../src/errors.ts";
import type { Failure, Ledger } from "../src/redis/ledger.ts";
import { queueMs } from "../src/redis/queue.ts";

/** Options for {@link jobError}. */
export interface JobErrorOptions {
  queue: Pick<Queue, "rateLimit">;
  /** Records a job that fails for good. */
  ledger: Ledger | undefined;
  member: string;
  /** Ticket that the attempt drew, if it got so far. */
  ticket: number | undefined;
  /** The failed attempt, and whether it was the last one. */
  attempt: { number: number; last: boolean };
  now: () => number;
  /** Returns whether the process is shutting down. The job then returns to its queue unchanged. */
  stopping: () => boolean;
}

/** A failed attempt that will be retried. */
export class RetryError extends Error {
  /** Whether an event arrived during the attempt. Its refresh must not wait for the full backoff. */
  readonly fresh: boolean;
  readonly attempt: number;

  constructor(message: string, { fresh, attempt }: { fresh: boolean; attempt: number }) {
    super(message);
    this.fresh = fresh;
    this.attempt = attempt;
  }
}

/** How often Kinde can limit one user before the user is listed as a failure. */
const oftenLimited = 5;
/** Longest wait of a limited user, as a multiple of what Kinde asked for. */
const mostPatience = 10;
/** How often a job returns to the head of its queue before it must let others pass. */
const headStarts = 10;

/**
 * Returns the error to throw to BullMQ:
 * - throttled: the job waits without consuming an attempt. A short pause stops the queue. A long pause postpones the job,
 *   so that jobs that need no call, such as deletions, still run. A limit on one user postpones only their job, for longer
 *   each time, and is listed as a failure if it lasts;
 * - shutting down: the job is postponed in the same way, for another process;
 * - a wrong configuration or request: the job fails at once, because no retry can help, and the ledger records it;
 * - anything else: the job is retried with backoff. The ledger records it after the last attempt.
 */
export async function jobError(error: unknown, job: Job, token: string | undefined, options: JobErrorOptions) {
  const { queue, ledger, member, ticket, attempt, now, stopping } = options;
  if (stopping()) return postpone(job, now(), token);
  if (error instanceof ThrottledError) {
    const { retryAfterMs, scope } = error;
    const starts = job.attemptsStarted - job.attemptsMade;
    if (scope === "one") {
      if (starts >= oftenLimited) await ledger?.fail(member, failure(error, starts, now()));
      const factor = 1 + Math.random() * Math.min(starts - 1, mostPatience);
      return postpone(job, now() + Math.round(retryAfterMs * factor), token);
    }
    const tooOften = starts % headStarts === 0;
    if (retryAfterMs > queueMs.limit || tooOften) return postpone(job, now() + retryAfterMs, token);
    await queue.rateLimit(retryAfterMs);
    return Worker.RateLimitError();
  }
  const final = attempt.last || isFinal(error);
  if (final) await ledger?.fail(member, failure(error, attempt.number, now()));
  // BullMQ stores and shows the message. Only our own messages are known to contain no personal data.
  const message = error instanceof KindlingError ? `${error.code}: ${error.message}` : errorCode(error);
  if (final) return new UnrecoverableError(message);
  const fresh = ticket !== undefined && ((await ledger?.latest(member)) ?? 0) > ticket;
  return new RetryError(message, { fresh, attempt: attempt.number });
}

async function postpone(job: Job, until: number, token: string | undefined): Promise<DelayedError> {
  await job.moveToDelayed(until, token);
  return new DelayedError();
}

function isFinal(error: unknown): boolean {
  return (
    error instanceof KindeError && ["kinde_unauthorized", "kinde_forbidden", "kinde_rejected"].includes(error.code)
  );
}

function failure(error: unknown, attempts: number, failedAt: number): Failure {
  const message = error instanceof KindlingError ? error.message : "Unexpected error: see the log of the worker.";
  return { code: errorCode(error), message, failedAt, attempts, final: isFinal(error) };
}
