import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { KindlingError } from "kindling";
import type { DemoFlags } from "./kindling.flags.ts";
import type { Stage } from "./stage.ts";

/** A check of a step failed. */
export class Mismatch extends KindlingError<"demo_mismatch"> {
  readonly expected: string;
  readonly found: string;

  constructor(what: string, expected: string, found: string) {
    super("demo_mismatch", what);
    this.expected = expected;
    this.found = found;
  }
}

/** Checks that two values are deeply equal. */
export function expectEqual(what: string, found: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(found, expected)) throw new Mismatch(what, format(expected), format(found));
}

/** Checks that a number is at most `most`. */
export function expectAtMost(what: string, found: number, most: number): void {
  if (found > most) throw new Mismatch(what, `at most ${most}`, String(found));
}

/** Shows the record of a user as any Redis client reads it. */
export async function showRecord({ redis, keys, narrator }: Stage, userId: string): Promise<void> {
  const key = keys.flags(userId);
  narrator.show(`GET ${key}`, (await redis.get(key)) ?? "(nil)");
}

/** Shows the flags of a user as an app server reads them. */
export async function showReader({ reader, narrator }: Stage, userId: string): Promise<void> {
  const { flags, status } = await reader.get(userId);
  narrator.show(`reader.get("${userId}")`, JSON.stringify({ flags, status }));
}

/** Waits until the reader returns these flags for a user. */
export function waitForFlags(
  { reader, signal }: Stage,
  userId: string,
  expected: Partial<DemoFlags>,
  what: string,
): Promise<void> {
  const read = async () => {
    const { flags, status } = await reader.get(userId);
    const relevant = Object.keys(expected).map((name) => [name, flags[name as keyof DemoFlags]]);
    return { status: String(status), flags: Object.fromEntries(relevant) };
  };
  return waitFor(read, { status: "present", flags: expected }, { what, signal });
}

/** Waits until the ledger is empty. */
export function waitForEmptyLedger({ ledger, signal }: Stage): Promise<void> {
  const read = async () => (await ledger.size()).size;
  return waitFor(read, 0, { what: "Users in the ledger", signal });
}

const pollMs = 5;

/** Options for {@link waitFor}. */
export interface WaitForOptions {
  /** Name of the value, for the error. */
  what: string;
  signal: AbortSignal;
  /** Milliseconds. Default 20,000. */
  timeoutMs?: number;
}

/**
 * Reads a value repeatedly until it equals the expected one.
 *
 * @throws {Mismatch} with the last value, after the timeout
 */
export async function waitFor<T>(
  read: () => Promise<T>,
  expected: T,
  { what, signal, timeoutMs = 20_000 }: WaitForOptions,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await read();
    if (isDeepStrictEqual(found, expected)) return;
    if (performance.now() > end) throw new Mismatch(what, format(expected), format(found));
    await delay(pollMs);
  }
}

function format(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}
