/**
 * For tests of apps: a reader without Redis.
 *
 * @module
 */
export {
  acceptUserIds,
  createTestReader,
  type TestReader,
  type TestReaderOptions,
} from "./testing/create-test-reader.ts";
