import { createHttpReader } from "./http/create-http-reader.ts";
import type { HttpReaderOptions } from "./http/types.ts";
import { createReader } from "./reader/create-reader.ts";
import type { Reader, ReaderOptions } from "./reader/types.ts";
import { createRequestReader } from "./request/create-request-reader.ts";
import type { RequestReader, Verify } from "./request/types.ts";
import { createWriter } from "./writer/create-writer.ts";
import type { Writer, WriterOptions } from "./writer/types.ts";

/**
 * Options for {@link createKindling}: `redis` to read from Redis, `url` and `token` to read over HTTP, or all three to read
 * from Redis and write over HTTP.
 *
 * @typeParam V Flag values by name
 */
export type KindlingOptions<V extends Record<string, unknown>> =
  | (ReaderOptions<V> & (Pick<HttpReaderOptions<V>, "url" | "token" | "fetch"> | { url?: undefined }))
  | (HttpReaderOptions<V> & { redis?: undefined });

/**
 * The client of an app server, created by {@link createKindling}: a {@link Reader}, with `verify` also a
 * {@link RequestReader}, and with `url` also a {@link Writer}.
 *
 * @typeParam V Flag values by name
 * @typeParam Verifier `Verify` if callers' tokens are verified
 * @typeParam Url `string` if Kindling's server is known
 */
export type Kindling<V extends Record<string, unknown>, Verifier = undefined, Url = undefined> = Reader<V> &
  (Verifier extends Verify ? RequestReader<V> : unknown) &
  (Url extends string ? Writer<V> : unknown);

/**
 * Creates the client of an app server. It reads typed flags from Redis, or over HTTP where there is no Redis, and a read
 * never throws. Create one per process and share it.
 *
 * @param options `redis` or `url` and `token`: see {@link ReaderOptions} and {@link HttpReaderOptions} for each option and its
 *   default. With `url` and `token`, the client also writes ({@link Writer.setProperties}). With `verify`, it reads the flags
 *   of callers ({@link RequestReader.read}), and the framework adapters take it
 *
 * @example
 * ```ts
 * import { Redis } from "ioredis";
 * import { createKindling } from "kindling";
 * import definitions from "./kindling.flags.js";
 *
 * const kindling = createKindling({ definitions, redis: new Redis("redis://127.0.0.1:6379") });
 *
 * const { flags, status } = await kindling.get("kp_0123456789abcdef");
 * if (!flags.onboarded) console.log("Show the tour", status);
 * ```
 */
export function createKindling<
  V extends Record<string, unknown>,
  Verifier extends Verify | undefined = undefined,
  Url extends string | undefined = undefined,
>(
  options: KindlingOptions<V> & {
    /** Verifies callers' tokens: what `createVerifier` of `kindling/request` returned. The framework adapters need it. */
    verify?: Verifier;
    url?: Url;
  },
): Kindling<V, Verifier, Url> {
  const reader = options.redis === undefined ? createHttpReader(options) : createReader(options);
  const { verify } = options;
  const parts = {
    ...reader,
    ...(verify !== undefined && { read: createRequestReader({ reader, verify }).read }),
    ...("token" in options && createWriter(forWriting(options, reader))),
  };
  // Sound: the type has a part exactly if its option is given.
  return parts as Kindling<V, Verifier, Url>;
}

/** A write waits for Kinde: the limit of reads does not apply. */
function forWriting<V extends Record<string, unknown>>(
  {
    timeoutMs: _timeoutMs,
    ...options
  }: Pick<HttpReaderOptions<V>, "url" | "token" | "definitions" | "fetch" | "timeoutMs">,
  reader: Reader<V>,
): WriterOptions<V> {
  return { ...options, reader };
}
