import { KindlingError } from "../errors.ts";

/** An action the emulated Kinde refuses: an unknown user, a key that exists already, a property nobody defined. */
export class EmulatorError extends KindlingError {}
