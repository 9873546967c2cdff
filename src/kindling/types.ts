import type { Flags } from "../flags/define-flags.ts";
import type { PropertyValue } from "../refresh/property-values.ts";

/** What an app server gives. */
export interface KindlingOptions<V extends Record<string, unknown>> {
  /** What the flags file exports. */
  flags: Flags<V>;
  /** Settings by their names, those of the workers: `KINDE_DOMAIN`, `REDIS_URL`, … Default: the environment. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Default: the global one. */
  fetch?: typeof fetch;
}

/** How properties are set. */
export interface SetOptions {
  /** Also drop Kinde's token cache for the user, so that the next token carries the values. Default false. */
  refreshClaims?: boolean;
  /** Gives up when aborted; whether Kinde took the values is then open. */
  signal?: AbortSignal;
}

/** The user's flags after a write. */
export interface SetResult<V> {
  flags: V;
  /** Fence number of the refresh they stem from. */
  ticket: number;
  /** Start of its fetch, milliseconds since the epoch. */
  fetchedAt: number;
}

/** Kindling within an app server. */
export interface Kindling<V extends Record<string, unknown>> {
  /**
   * Sets properties of a user in Kinde. When it returns, every reader sees them. Safe to repeat.
   *
   * @throws {KindlingError} with a `code`: `user_not_found`, `kinde_rejected` (an unknown property, say; `reason` has
   * Kinde's words), `kinde_forbidden` (the message names the scope), `throttled` (`retryAfterMs`), `kinde_unavailable`,
   * `write_not_visible`, `claims_not_refreshed`, `redis_unavailable`, `configuration_invalid`, `request_malformed`
   */
  setProperties(
    userId: string,
    properties: Readonly<Record<string, PropertyValue>>,
    options?: SetOptions,
  ): Promise<SetResult<V>>;
  /** Lets go of Redis. Writes after it are refused with `closed`. */
  close(): Promise<void>;
}
