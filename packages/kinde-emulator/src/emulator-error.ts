/** Things an action can name. */
export type Entity =
  | "user"
  | "organization"
  | "role"
  | "permission"
  | "member"
  | "identity"
  | "invitation"
  | "customer"
  | "webhook"
  | "event"
  | "fault"
  | "feature_flag"
  | "entitlement"
  | "property"
  | "property_category";

/** Codes of {@link EmulatorError}. */
export type EmulatorErrorCode =
  | `unknown_${Entity}`
  | `${"user" | "identity" | "organization" | "role" | "permission" | "property" | "feature_flag"}_already_exists`
  | "invalid_property"
  | "invalid_identity"
  | "invalid_invitation"
  | "invalid_endpoint"
  | "invalid_application"
  | "invalid_feature_flag"
  | "invalid_organization"
  | "emulator_no_port"
  | "production_refused";

/**
 * Thrown when the emulator rejects an action, for example for an unknown user, a duplicate key or an undefined property.
 * Over HTTP, `unknown_…` is answered with 404 and every other code with 400.
 */
export class EmulatorError extends Error {
  /** Stable, machine-readable cause. */
  readonly code: EmulatorErrorCode;

  constructor(code: EmulatorErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
