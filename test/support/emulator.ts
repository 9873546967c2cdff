import { inject } from "vitest";
import { createEmulator, type Emulator, type EmulatorOptions } from "../../src/emulator/index.ts";

/** An emulator with the key that all tests share. */
export function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  return createEmulator({ signingKey: inject("signingKey"), ...options });
}
