/**
 * Every error Kindling throws on purpose: one base class, a stable `code` each.
 *
 * Messages say what to do next and never carry a secret, a token, an e-mail address or a phone number.
 */

/** Base of all errors of Kindling. `code` is stable: log it, alert on it, switch on it. */
export class KindlingError extends Error {
  /** Stable, machine-readable name of what went wrong. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
