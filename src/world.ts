/** The world outside, passed in so that tests can put theirs. */
export interface World {
  fetch: typeof fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** A part of Kindling at work. */
export interface Running {
  close(): Promise<void>;
}
