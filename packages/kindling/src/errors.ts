/**
 * Stable codes of the errors that an app server can receive. Log them, alert on them and switch on them.
 *
 * - `flag_without_default`: a flag function throws, or returns a promise, for an empty profile. Thrown by
 *   `defineFlags` and `fresh`.
 * - `flag_malformed`: contradictory or malformed options, or a flag called `__proto__`. Thrown by `permission`, `role`,
 *   `plan`, `fresh` and `defineFlags`.
 * - `invalid_options`: an option is missing or malformed. Thrown by `createVerifier`.
 * - `flags_unavailable`: a guard cannot decide because of an outage. Thrown by the guard of `kindling/next`.
 *
 * The remaining codes come from {@link Writer.setProperties}:
 *
 * - `request_malformed`: an invalid user id, property key or value. Nothing changed.
 * - `user_not_found`: Kinde has no such user.
 * - `kinde_rejected`: Kinde refuses the values, for example because a property does not exist.
 * - `kinde_unauthorized`, `kinde_forbidden`: the service's Kinde credentials or scopes are wrong.
 * - `kinde_unavailable`: Kinde did not answer. It may have taken the values: send them again.
 * - `throttled`: Kinde's rate limit or the service's call budget is used up, or other writes of the user are in progress.
 *   Nothing changed: try again later.
 * - `write_not_visible`: Kinde has the values, but readers may not see them yet. Send them again to be sure.
 * - `claims_not_refreshed`: readers see the values, but Kinde's token cache for the user was not dropped.
 * - `redis_unavailable`: the service could not reach Redis. Nothing changed: try again.
 * - `service_unauthorized`: the service refused the token.
 * - `service_unavailable`: the service did not answer in time, or its answer was not understood. Send the values again.
 * - `too_many_requests`: more requests than the service accepts per minute. Nothing changed: try again later.
 * - `closed`: an in-process writer was used after `close()`.
 *
 * `profile_part_missing` is internal to the derivation of flags and never reaches an app.
 */
export type KindlingErrorCode =
  | "flag_without_default"
  | "flag_malformed"
  | "invalid_options"
  | "flags_unavailable"
  | "request_malformed"
  | "user_not_found"
  | "kinde_rejected"
  | "kinde_unauthorized"
  | "kinde_forbidden"
  | "kinde_unavailable"
  | "throttled"
  | "write_not_visible"
  | "claims_not_refreshed"
  | "redis_unavailable"
  | "service_unauthorized"
  | "service_unavailable"
  | "too_many_requests"
  | "profile_part_missing"
  | "closed";

/**
 * Base class of the errors that Kindling throws. A message says what failed and what to do next, and never contains a
 * secret, a token, an email address or a phone number.
 *
 * @typeParam Code The codes an instance can have. Default: {@link KindlingErrorCode}
 *
 * @example
 * ```ts
 * import { KindlingError } from "kindling";
 *
 * try {
 *   await writer.setProperties(userId, { onboarded: true });
 * } catch (error) {
 *   if (error instanceof KindlingError && error.code === "user_not_found") return notFound();
 *   throw error;
 * }
 * ```
 */
export class KindlingError<Code extends string = KindlingErrorCode> extends Error {
  /** Machine-readable reason. See {@link KindlingErrorCode}. */
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
