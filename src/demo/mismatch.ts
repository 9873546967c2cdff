import { isDeepStrictEqual } from "node:util";
import { KindlingError } from "kindling";

/** A step found something else than what it promises. */
export class Mismatch extends KindlingError<"demo_mismatch"> {
  readonly expected: string;
  readonly found: string;

  constructor(what: string, expected: string, found: string) {
    super("demo_mismatch", what);
    this.expected = expected;
    this.found = found;
  }
}

/** Checks that two values are the same through and through. */
export function expectEqual(what: string, found: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(found, expected)) throw new Mismatch(what, inWords(expected), inWords(found));
}

/** Checks that a count is within a bound. */
export function expectAtMost(what: string, found: number, most: number): void {
  if (found > most) throw new Mismatch(what, `at most ${most}`, String(found));
}

/** A value as a mismatch shows it. */
export function inWords(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}
