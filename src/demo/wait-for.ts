import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { inWords, Mismatch } from "./mismatch.ts";

const pauseMs = 5;

/** What is waited for, and how long at most. */
export interface WaitForOptions {
  what: string;
  signal: AbortSignal;
  /** Milliseconds. Default 20 000. */
  timeoutMs?: number;
}

/**
 * Asks again and again until the answer is the expected one.
 *
 * @throws {Mismatch} with the last answer, when the time is over
 */
export async function waitFor<T>(
  ask: () => Promise<T>,
  expected: T,
  { what, signal, timeoutMs = 20_000 }: WaitForOptions,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await ask();
    if (isDeepStrictEqual(found, expected)) return;
    if (performance.now() > end) throw new Mismatch(what, inWords(expected), inWords(found));
    await delay(pauseMs);
  }
}
