import { setTimeout as delay } from "node:timers/promises";
import { KindeError, ThrottledError } from "../errors.ts";

/** Options for {@link patiently}. */
export interface Patience {
  signal: AbortSignal;
  /** Called before each wait with its length in milliseconds, so that a command can show that it is waiting. */
  onWait: (ms: number) => void;
  /** How often to repeat a call that Kinde did not answer, with exponential backoff. Default: 0. */
  retries?: number;
}

const firstPauseMs = 500;

/**
 * Makes a call to Kinde, waits while it is throttled, and retries transient failures.
 *
 * @throws the reason of the signal once it is aborted, otherwise the error of the last attempt
 */
export async function patiently<T>(call: () => Promise<T>, { signal, onWait, retries = 0 }: Patience): Promise<T> {
  let failures = 0;
  for (;;) {
    signal.throwIfAborted();
    let waitMs: number;
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ThrottledError) waitMs = error.retryAfterMs;
      else if (isTransient(error) && failures < retries) waitMs = firstPauseMs * 2 ** failures++;
      else throw error;
    }
    onWait(waitMs);
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof KindeError && error.code === "kinde_unavailable";
}
