/**
 * `webhook`: events and writes. The others leave a quarter of the burst and of the concurrency to them. `request`: readers
 * asked; at most half of the rate, so that they cannot keep `bulk`, such as the sweep, from its work.
 */
export type Priority = "webhook" | "request" | "bulk";

/**
 * Returns how many calls a minute the budget gains, as `include/call-budget.lua` fills it. That many are possible in the long
 * run, for bulk work too; a minute that begins with an unused burst has more, up to `perMinute`.
 */
export function gainPerMinute({ perMinute, atOnce }: { perMinute: number; atOnce: number }): number {
  const burst = Math.max(1, Math.min(Math.max(atOnce, perMinute / 6), perMinute / 2));
  return Math.max(perMinute - burst, perMinute / 2);
}

/** How long each call waits for the budget where a step makes many: it would never end if it began again. Milliseconds. */
export const patienceOfManyMs = 30_000;

/** Limits the calls that all processes together make to Kinde: per minute, concurrently, and none during a pause. */
export interface CallBudget {
  /**
   * Runs one call as soon as the budget allows it, waiting for a short time if necessary.
   *
   * @throws {ThrottledError} if the budget does not allow it within `patienceMs`, or at once if the subject is limited
   */
  run<T>(priority: Priority, call: () => Promise<T>, options?: RunOptions): Promise<T>;
  /**
   * Reports that Kinde answered 429 to a call about this subject. Stops calls about it for this many milliseconds, in all
   * processes. Stops all calls with the third subject in a row, between which fewer than ten calls were granted: the limit
   * is then everybody's. Returns what is stopped.
   */
  limit(subject: string, ms: number): Promise<"all" | "one">;
  /** Pauses calls in all processes for this many milliseconds. Of two pauses, the later end counts. */
  pause(ms: number): Promise<void>;
  /**
   * Returns the current state. `pausedMs` is in milliseconds; `available` is how many calls could start now; `limited` is
   * how many subjects Kinde limits.
   */
  state(): Promise<{ pausedMs: number; inUse: number; available: number; limited: number }>;
}

/** Options for {@link CallBudget.run}. */
export interface RunOptions {
  /** What Kinde could limit: a user or a route. */
  subject?: string;
  signal?: AbortSignal;
  /**
   * Longest wait in milliseconds, including the time spent behind other callers. Default: long enough for a few calls to
   * be allowed, at least 2 s.
   */
  patienceMs?: number;
}
