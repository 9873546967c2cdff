/** `webhook`: somebody waits for it. `bulk`: leaves a quarter of the budget to the others. */
export type Priority = "webhook" | "bulk";

/** The calls to Kinde of all processes together: so many a minute, so many at once, none during a pause. */
export interface CallBudget {
  /**
   * Runs one call when there is room for it, waiting a short while if need be.
   *
   * @throws {ThrottledError} when there is no room within the caller's patience
   */
  run<T>(priority: Priority, call: () => Promise<T>, options?: RunOptions): Promise<T>;
  /** Lets no process call for so long, in milliseconds. Of two pauses the later end counts. */
  pause(ms: number): Promise<void>;
  /** How things stand. Milliseconds for `pausedMs`; `available` is calls that could start at once. */
  state(): Promise<{ pausedMs: number; inUse: number; available: number }>;
}

/** How long a call may wait for room. */
export interface RunOptions {
  signal?: AbortSignal;
  /** Milliseconds, the wait for others in front included; default long enough for a few calls to become due, 2 s at least. */
  patienceMs?: number;
}
