import { EmulatorError } from "./emulator-error.ts";
import type { Emulator, EmulatorOptions } from "./types.ts";

/** Starts Kinde on localhost: keys, tokens, the Management API, webhook deliveries, and faults on demand. */
export async function createEmulator(_options: EmulatorOptions = {}): Promise<Emulator> {
  throw new EmulatorError("emulator_unfinished", "The emulator is not assembled yet.");
}
