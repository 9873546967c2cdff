import type { Definitions } from "../definitions/define-flags.ts";

/** What a property can be set to. Kinde stores text: `true` becomes `"true"`. `null` removes the value. */
export type PropertyValue = string | number | boolean | null;

/** Options for {@link Writer.setProperties}. */
export interface SetOptions {
  /** Also drop Kinde's token cache for the user, so that the next token carries the values. Default `false`. */
  refreshClaims?: boolean;
  /** Gives up when aborted. Kinde may have taken the values by then. */
  signal?: AbortSignal;
}

/** The user's flags after a write. */
export interface SetResult<V> {
  flags: V;
  /** Fencing token of the refresh the flags come from. */
  ticket: number;
  /** Start of that refresh's fetch, in milliseconds since the epoch. */
  fetchedAt: number;
}

/** Sets properties of users so that every reader sees them at once. */
export interface Writer<V> {
  /**
   * Sets properties of a user in Kinde and refreshes the record. When it returns, every reader sees the values. Safe to
   * repeat: the same values again change nothing.
   *
   * @param properties 1 to 100 values by property key
   * @throws {KindlingError} See {@link KindlingErrorCode} for each code and what to do about it
   */
  setProperties(
    userId: string,
    properties: Readonly<Record<string, PropertyValue>>,
    options?: SetOptions,
  ): Promise<SetResult<V>>;
}

/** Options for {@link createWriter}. */
export interface WriterOptions<V extends Record<string, unknown>> {
  /** Where Kindling's server is reached, e.g. `https://kindling.internal:3000`. */
  url: string;
  /** The server's `KINDLING_API_TOKEN`. */
  token: string;
  /** What the flags file exports. */
  definitions: Definitions<V>;
  /** Longest wait for an answer, in milliseconds. Default 30,000: a write waits for Kinde. */
  timeoutMs?: number;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
}
