import { DelayedError, type Job, type Queue, UnrecoverableError, Worker } from "bullmq";
import { errorCode, KindeError, KindlingError, ThrottledError } from "../src/errors.ts";
import type { Failure, Ledger } from "../src/queue/ledger.ts";

/** Turns what a job threw into what BullMQ and the ledger are to make of it. */
export interface JobErrorOptions {
  queue: Pick<Queue, "rateLimit">;
  ledger: Ledger | undefined;
  member: string;
  now: () => number;
  /** Whether the process is shutting down: the job then goes back untouched. */
  stopping: () => boolean;
}

/**
 * The error to throw to BullMQ:
 * - throttled: the queue pauses for as long, and the job waits on with no attempt consumed;
 * - shutting down: the job waits on likewise, for another process;
 * - a wrong configuration or request: it fails at once, as no retry can help, and shows in the ledger;
 * - anything else: it is tried again later, and after the last attempt shows in the ledger.
 */
export async function jobError(error: unknown, job: Job, token: string | undefined, options: JobErrorOptions) {
  if (error instanceof ThrottledError) {
    await options.queue.rateLimit(error.retryAfterMs);
    return Worker.RateLimitError();
  }
  if (options.stopping()) {
    await job.moveToDelayed(options.now(), token);
    return new DelayedError();
  }
  const final = isFinal(error) || job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
  if (final) await options.ledger?.fail(options.member, failure(error, job.attemptsMade + 1, options.now()));
  // BullMQ stores and shows the message: only ours are known to hold nothing personal.
  const message = error instanceof KindlingError ? `${error.code}: ${error.message}` : errorCode(error);
  return isFinal(error) ? new UnrecoverableError(message) : new Error(message);
}

function isFinal(error: unknown): boolean {
  return (
    error instanceof KindeError && ["kinde_unauthorized", "kinde_forbidden", "kinde_rejected"].includes(error.code)
  );
}

function failure(error: unknown, attempts: number, failedAt: number): Failure {
  const message = error instanceof KindlingError ? error.message : "Unexpected: see the log of the worker.";
  return { code: errorCode(error), message, failedAt, attempts };
}
