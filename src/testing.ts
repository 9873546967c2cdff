/**
 * For tests of apps: Kindling and an emulated Kinde in the test's own process. Needs `kinde-emulator`.
 *
 * @module
 */
export { startKindling, type TestKindling, type TestKindlingOptions } from "./testing/start-kindling.ts";
