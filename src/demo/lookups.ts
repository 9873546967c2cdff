import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { DemoFlags } from "./demo-flags.ts";
import { inWords, Mismatch } from "./mismatch.ts";
import type { Stage } from "./step.ts";

/** Waits until the reader answers these flags for a user. */
export function waitForFlags(
  { reader, signal }: Stage,
  userId: string,
  expected: Partial<DemoFlags>,
  what: string,
): Promise<void> {
  const ask = async () => {
    const { flags, status } = await reader.get(userId);
    const asked = Object.fromEntries(Object.keys(expected).map((name) => [name, flags[name as keyof DemoFlags]]));
    return { status: String(status), flags: asked };
  };
  return waitFor(ask, { status: "present", flags: expected }, { what, signal });
}

/** Waits until no user has an event that is not reflected yet. */
export function waitForCalm({ ledger, signal }: Stage): Promise<void> {
  const ask = async () => (await ledger.size()).size;
  return waitFor(ask, 0, { what: "Users with an event that is not reflected yet", signal });
}

/** Looks a user's flags up as any client of Redis would, and shows it. */
export async function showFlags({ redis, keys, narrator }: Stage, userId: string): Promise<void> {
  const key = keys.flags(userId);
  narrator.show(`GET ${key}`, (await redis.get(key)) ?? "(nil)");
}

/** Asks as an app server does, and shows it. */
export async function showReader({ reader, narrator }: Stage, userId: string): Promise<void> {
  const { flags, status } = await reader.get(userId);
  narrator.show(`reader.get("${userId}")`, JSON.stringify({ flags, status }));
}

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
