/** What app servers import: `import { createReader } from "kindling/reader"`. */
export {
  createReader,
  type Reader,
  type ReaderOptions,
  type ReaderRedis,
  type ReadResult,
  type ReadStatus,
} from "./create-reader.ts";
