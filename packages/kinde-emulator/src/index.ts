export type * from "./action-types.ts";
export { createEmulator } from "./create-emulator.ts";
export { EmulatorError, type EmulatorErrorCode } from "./emulator-error.ts";
export type * from "./fault-types.ts";
export type * from "./truth-types.ts";
export type * from "./types.ts";
