/** Kindling's service as a library: run it in a process of your own, or write properties without HTTP. */
export { createWriter, type InProcessWriter, type InProcessWriterOptions } from "./create-writer.ts";
