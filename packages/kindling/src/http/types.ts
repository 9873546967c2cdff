import type { Definitions } from "../definitions/define-flags.ts";
import type { KindlingError } from "../errors.ts";

/**
 * Options for reading over HTTP with {@link createKindling}: for runtimes without a Redis connection, such as edge
 * functions and browsers.
 *
 * @typeParam V Flag values by name
 */
export interface HttpReaderOptions<V extends Record<string, unknown>> {
  /** URL of Kindling's server, for example `https://kindling.internal:3000`. A path prefix is kept. */
  url: string;
  /**
   * A token of the service with the scope `read` (a secret: on servers only), or a function that returns one. In a browser,
   * return the user's own Kinde access token: it reads that user only.
   */
  token: string | (() => string | Promise<string>);
  /** What {@link defineFlags} returned: the default export of the flags file. */
  definitions: Definitions<V>;
  /** Longest wait for an answer, in milliseconds, beyond what `wait` asks for. Default 1000. */
  timeoutMs?: number;
  /** Longest wait for a refresh that a {@link fresh} flag demands, in milliseconds. Default 1000; 0 never waits. */
  wait?: number;
  /**
   * Called with the reason for each answer with the status `unavailable`: `service_unauthorized`, `too_many_requests` or
   * `service_unavailable`. What it throws is ignored. Default: none.
   */
  onError?: (error: KindlingError) => void;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Returns the time in milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
}
