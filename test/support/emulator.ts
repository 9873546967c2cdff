import { createEmulator, type Emulator, type EmulatorOptions } from "kinde-emulator";
import { inject } from "vitest";

/** An emulator with the key that all tests share. */
export function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  return createEmulator({ signingKey: inject("signingKey"), ...options });
}
