import type { Fetch } from "./fetch.ts";

/** Clock and fetch, injectable for tests. */
export interface World {
  fetch: Fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** A running part of the service. */
export interface Running {
  close(): Promise<void>;
}
