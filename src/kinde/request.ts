import type { FetchAnswer } from "../fetch.ts";

/**
 * Creates a controller that aborts together with a signal until it is released.
 *
 * Does not use `AbortSignal.any` with `AbortSignal.timeout`: on Node 20 it leaks memory on a long-lived signal, and its
 * timer can be garbage-collected before it fires, so that a call hangs forever.
 */
export function followSignal(signal: AbortSignal): { controller: AbortController; release: () => void } {
  const controller = new AbortController();
  const stop = () => controller.abort(signal.reason);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  return { controller, release: () => signal.removeEventListener("abort", stop) };
}

/** Runs a task with a signal that aborts together with the given one, or with a `TimeoutError` after `timeoutMs`. */
export async function withDeadline<T>(
  signal: AbortSignal,
  timeoutMs: number,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, release } = followSignal(signal);
  const expire = () => controller.abort(new DOMException("The deadline has passed.", "TimeoutError"));
  const timer = setTimeout(expire, timeoutMs);
  try {
    return await task(controller.signal);
  } finally {
    clearTimeout(timer);
    release();
  }
}

/** Called with each answer of Kinde's: its route, as in messages, and its status; `failed` if there was none. */
export type OnAnswer = (route: string, status: number | "failed") => void;

/** A body that is larger than its limit. */
export class BodyTooLarge extends Error {
  constructor(maxBytes: number) {
    super(`The body is larger than ${maxBytes} bytes.`);
    this.name = "BodyTooLarge";
  }
}

/** Returns whether a call failed because its answer was larger than the limit. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof BodyTooLarge;
}

/**
 * Reads a body as text and stops at the limit. Counts decoded bytes: a few kilobytes of gzip can unpack to gigabytes.
 *
 * @throws {BodyTooLarge} as soon as the body exceeds `maxBytes`; the rest is not received
 */
export async function readText(response: FetchAnswer, maxBytes: number): Promise<string> {
  if (Number(response.headers.get("content-length") ?? 0) > maxBytes) {
    await response.body?.cancel();
    throw new BodyTooLarge(maxBytes);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop cancels the body.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new BodyTooLarge(maxBytes);
    chunks.push(chunk);
  }
  return utf8.decode(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
}

/** Keeps nothing between calls that are not told to stream. */
const utf8 = new TextDecoder();

/** Parses JSON; returns `undefined` for anything else. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Pause after a 429 without a valid `RateLimit-Reset`. */
const defaultPauseMs = 5_000;
/** Shortest pause: Kinde's concurrency limiter can answer 0. */
const shortestPauseMs = 1_000;
/** Longest pause, whatever the header says. */
const longestPauseMs = 3_600_000;

/** Parses a `RateLimit-Reset` header (seconds until the window opens) into the milliseconds to pause. */
export function parseRateLimitReset(reset: string | null): number {
  const ms = reset === null || reset.trim() === "" ? Number.NaN : Number(reset) * 1000;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, shortestPauseMs), longestPauseMs) : defaultPauseMs;
}
