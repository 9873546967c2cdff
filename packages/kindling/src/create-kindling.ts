import { createHttpReader } from "./http/create-http-reader.ts";
import type { HttpReaderOptions } from "./http/types.ts";
import { createReader } from "./reader/create-reader.ts";
import type { Reader, ReaderOptions } from "./reader/types.ts";

/**
 * Options for {@link createKindling}: `redis` to read from Redis, or `url` and `token` to read over HTTP.
 *
 * @typeParam V Flag values by name
 */
export type KindlingOptions<V extends Record<string, unknown>> = ReaderOptions<V> | HttpReaderOptions<V>;

/**
 * Creates a reader of typed flags: from Redis, or over HTTP where there is no Redis. Both have one interface and never
 * throw. Create one per process and share it.
 *
 * @param options See {@link ReaderOptions} and {@link HttpReaderOptions} for each option and its default
 *
 * @example
 * ```ts
 * import { createKindling } from "kindling";
 * import definitions from "./kindling.flags.js";
 *
 * const kindling = createKindling({
 *   url: "https://kindling.internal:3000",
 *   token: process.env.KINDLING_API_TOKEN ?? "",
 *   definitions,
 *   onError: ({ code, message }) => console.warn(code, message),
 * });
 *
 * const { flags, status } = await kindling.get("kp_0123456789abcdef");
 * if (!flags.onboarded) console.log("Show the tour", status);
 * ```
 */
export function createKindling<V extends Record<string, unknown>>(options: KindlingOptions<V>): Reader<V> {
  return "redis" in options ? createReader(options) : createHttpReader(options);
}
