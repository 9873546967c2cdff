import { setTimeout as delay } from "node:timers/promises";
import { KindeError, ThrottledError } from "../errors.ts";

/** How patient a call is. */
export interface Patience {
  signal: AbortSignal;
  /** Told before each wait, in milliseconds, so that a silent command is not taken for a hung one. */
  onWait: (ms: number) => void;
  /** How often a call that Kinde did not answer is made again, with growing pauses. Default 0. */
  retries?: number;
}

const firstPauseMs = 500;

/**
 * Makes a call to Kinde, waits while there is no room for it, and tries again what failed for the moment.
 *
 * @throws the signal's reason once it is aborted, else what the last try threw
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
      else if (isPassing(error) && failures < retries) waitMs = firstPauseMs * 2 ** failures++;
      else throw error;
    }
    onWait(waitMs);
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof KindeError && error.code === "kinde_unavailable";
}
