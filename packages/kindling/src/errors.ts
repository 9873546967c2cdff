/**
 * Codes of the errors an app server can meet: stable, so log them, alert on them and switch on them.
 *
 * - `flag_without_default`: a flag function throws, or returns a promise, for a user about whom nothing is known.
 * - `request_malformed`: a user id or property value Kindling refuses without asking anyone.
 * - `user_not_found`: Kinde has no such user.
 * - `kinde_rejected`: Kinde refuses the values, for example of an unknown property.
 * - `kinde_unauthorized`, `kinde_forbidden`: the service's credentials or scopes are wrong.
 * - `kinde_unavailable`: Kinde did not answer; it may have taken the values.
 * - `throttled`: Kinde's rate limit or the call budget is used up; nothing changed.
 * - `write_not_visible`: Kinde has the values, but readers may not see them yet.
 * - `claims_not_refreshed`: the values are visible, but Kinde's token cache was not dropped.
 * - `redis_unavailable`: Redis did not answer; nothing changed.
 * - `service_unauthorized`: the service refused the token.
 * - `service_unavailable`: the service did not answer in time, or answered with something unexpected.
 * - `too_many_requests`: more requests than the service accepts a minute.
 * - `profile_part_missing`: internal to the derivation of flags; never reaches an app.
 * - `closed`: used after `close()`.
 */
export type KindlingErrorCode =
  | "flag_without_default"
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
 * Base of every error Kindling throws on purpose. Messages say what failed and what to do next; they never carry a
 * secret, a token, an e-mail address or a phone number.
 *
 * @example
 * ```ts
 * try {
 *   await writer.setProperties(userId, { onboarded: true });
 * } catch (error) {
 *   if (error instanceof KindlingError && error.code === "user_not_found") return notFound();
 *   throw error;
 * }
 * ```
 */
export class KindlingError<Code extends string = KindlingErrorCode> extends Error {
  /** Stable, machine-readable name of what went wrong. */
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
