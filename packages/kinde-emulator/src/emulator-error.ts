/** An action the emulated Kinde refuses: an unknown user, a key that exists already, a property nobody defined. */
export class EmulatorError extends Error {
  /** Stable, machine-readable name of what went wrong. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
