/**
 * Runs a task under a signal that is aborted with the given one, or after so long, then with a `TimeoutError`.
 * `AbortSignal.any` with `AbortSignal.timeout` would do, but on Node 20 it leaves a little of each call behind on a
 * long-lived signal, and now and then never fires, as its timer may be collected: a call then hangs for good.
 */
export async function withDeadline<T>(
  signal: AbortSignal,
  timeoutMs: number,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const stop = () => ended.abort(signal.reason);
  const timer = setTimeout(() => ended.abort(new DOMException("The time is over.", "TimeoutError")), timeoutMs);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    return await task(ended.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** A 429 without a usable `RateLimit-Reset` pauses for so long. */
const defaultPauseMs = 5_000;
/** No pause is shorter: Kinde's concurrency limiter may well answer 0. */
const shortestPauseMs = 1_000;
/** No pause is longer, whatever the header says. */
const longestPauseMs = 3_600_000;

/** Milliseconds to pause for, from a `RateLimit-Reset` header: seconds until the window opens. */
export function pauseOf(reset: string | null): number {
  const ms = reset === null || reset.trim() === "" ? Number.NaN : Number(reset) * 1000;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, shortestPauseMs), longestPauseMs) : defaultPauseMs;
}
