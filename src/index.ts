/** Kindling's service as a library: run it in a process of your own, or write properties without HTTP. */
export type { Fetch, FetchAnswer, FetchRequest } from "./fetch.ts";
export { createService, type Service, type ServiceOptions } from "./service/create-service.ts";
export { createWriter, type InProcessWriter, type InProcessWriterOptions } from "./service/create-writer.ts";
