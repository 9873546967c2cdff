import type { Definitions } from "../definitions/define-flags.ts";
import type { Reader } from "../reader/types.ts";

/**
 * A value to set a property to. Kinde stores text, so `true` becomes `"true"`; `null` removes the value. A number must
 * be finite.
 *
 * @see https://docs.kinde.com/properties/work-with-properties/manage-properties/
 */
export type PropertyValue = string | number | boolean | null;

/** Options for {@link Writer.setProperties}. */
export interface SetOptions {
  /** Also drop Kinde's token cache for the user, so that the next token carries the values. Default `false`. */
  refreshClaims?: boolean;
  /** Stops waiting when aborted; the call rejects with the signal's reason. Kinde may have taken the values by then. */
  signal?: AbortSignal;
}

/**
 * The user's flags after a write.
 *
 * @typeParam V Flag values by name
 */
export interface SetResult<V> {
  flags: V;
  /** Fencing token of the refresh that the flags come from. */
  ticket: number;
  /** Start of that refresh's fetch, in milliseconds since the epoch. */
  fetchedAt: number;
}

/**
 * Sets properties of users. Created by {@link createWriter}.
 *
 * @typeParam V Flag values by name
 */
export interface Writer<V> {
  /**
   * Sets properties of a user in Kinde and refreshes the record. Once it resolves, every reader sees the values. Safe to
   * repeat: the same values again change nothing.
   *
   * @param userId Kinde's id of the user, `kp_…`
   * @param properties 1 to 100 values by property key
   * @throws {KindlingError} See {@link KindlingErrorCode} for each code and what to do about it
   *
   * @example
   * ```ts
   * const { flags } = await writer.setProperties(userId, { onboarded: true, plan_tier: "pro" });
   * ```
   */
  setProperties(
    userId: string,
    properties: Readonly<Record<string, PropertyValue>>,
    options?: SetOptions,
  ): Promise<SetResult<V>>;
}

/**
 * Options for {@link createWriter}.
 *
 * @typeParam V Flag values by name
 */
export interface WriterOptions<V extends Record<string, unknown>> {
  /** URL of Kindling's server, for example `https://kindling.internal:3000`. A path prefix is kept. */
  url: string;
  /** A token of the service with the scope `write`, or a function that returns one. A secret: use it on servers only. */
  token: string | (() => string | Promise<string>);
  /** What {@link defineFlags} returned: the default export of the flags file. */
  definitions: Definitions<V>;
  /** A reader of this process that caches: it never answers with a value from before a write. */
  reader?: Pick<Reader<V>, "observe">;
  /** Longest wait for the whole answer, in milliseconds. Default 30,000, because a write waits for Kinde. */
  timeoutMs?: number;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
}
