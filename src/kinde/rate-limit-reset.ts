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
