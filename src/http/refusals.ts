import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { errorFields, type Log } from "../log.ts";
import { failure, type Refuse } from "./body.ts";
import { type ClientAddress, sourceOf } from "./client-address.ts";

/** Refuses requests: counts them, logs a sample and limits sources that send too many. */
export interface Refusals {
  /** Returns the answer: the refusal, or 429 with `Retry-After` once its source was refused too often. */
  refuse: Refuse;
  /** Logs what is not logged yet. */
  close(): void;
}

/** Options for {@link createRefusals}. */
export interface RefusalsOptions {
  clientAddress: ClientAddress;
  /** Refused requests per minute after which a source gets 429. */
  perMinute: number;
  /** Adds one to a counter of the whole fleet, `<route>:<code>`. */
  count: (kind: string) => void;
  log: Pick<Log, "warn">;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const minute = 60_000;
/** How often a minute is looked for that is over, in milliseconds. */
const tickMs = 2_000;
/** Sources counted individually in a minute. All further ones share one limit, so that memory stays bounded. */
const mostSources = 10_000;

/**
 * Creates the one way to refuse a request. Only refused requests are limited: a request with a valid signature or token
 * passes, however much junk arrives from the same address, such as a proxy's.
 *
 * The first refusal of each kind in a minute is logged at once; the others in one line when the minute is over.
 */
export function createRefusals({ clientAddress, perMinute, count, log, now }: RefusalsOptions): Refusals {
  let sources = new Map<string, number>();
  let minuteBegan = Number.NEGATIVE_INFINITY;
  const unlogged = new Map<string, number>();
  const seen = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  const summarize = () => {
    if (unlogged.size > 0) {
      log.warn({ refused: Object.fromEntries(unlogged), sources: sources.size }, "further requests refused");
    }
    unlogged.clear();
    seen.clear();
    sources = new Map();
  };

  const tick = () => {
    if (now() - minuteBegan >= minute) summarize();
    if (unlogged.size === 0) stop();
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
  };

  const limitedFor = (source: string): number | undefined => {
    const key = sources.has(source) || sources.size < mostSources ? source : "others";
    if (add(sources, key, 1) <= perMinute) return undefined;
    return Math.max(1, Math.ceil((minuteBegan + minute - now()) / 1000));
  };

  return {
    refuse(context, { route, status, code, message, blame = status < 500, retryAfter, cause }) {
      const elapsed = now() - minuteBegan;
      // A clock that steps back begins a new minute too.
      if (elapsed >= minute || elapsed < 0) {
        summarize();
        minuteBegan = now();
      }
      const kind = `${route}:${code}`;
      const address = clientAddress(context);
      count(kind);
      if (seen.has(kind)) add(unlogged, kind, 1);
      else log.warn({ route, status, code, address, message, ...causeFields(cause) }, "request refused");
      seen.add(kind);
      timer ??= setInterval(tick, tickMs).unref();

      const seconds = blame ? limitedFor(sourceOf(address)) : undefined;
      if (seconds === undefined) return answer(context, status, failure(code, message), retryAfter);
      const tooMany = `More than ${perMinute} refused requests per minute from this address: ${message}`;
      return answer(context, 429, failure("too_many_requests", tooMany), seconds);
    },

    close() {
      stop();
      summarize();
    },
  };
}

function answer(context: Context, status: ContentfulStatusCode, body: object, retryAfter: number | undefined) {
  return context.json(body, status, retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) });
}

function causeFields(cause: unknown): { cause?: { code: string; message?: string } } {
  return cause === undefined ? {} : { cause: errorFields(cause) };
}

function add(counts: Map<string, number>, key: string, n: number): number {
  const sum = (counts.get(key) ?? 0) + n;
  counts.set(key, sum);
  return sum;
}
