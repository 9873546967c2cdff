import { createEmulator, type Emulator, type EmulatorOptions } from "kinde-emulator";
import { inject } from "vitest";

/** Starts an emulator with the signing key that all tests share. */
export function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  return createEmulator({ signingKey: inject("signingKey"), ...options });
}
