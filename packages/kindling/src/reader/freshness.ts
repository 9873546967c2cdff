import type { Definitions } from "../definitions/define-flags.ts";
import type { FlagDefinition } from "../definitions/definition.ts";

/** What the flags themselves demand of their age. */
export interface Freshness {
  /** Age, in milliseconds, beyond which some flag wants to be waited for; `Infinity` for none. */
  strictest: number;
  /** Age beyond which a read has the user refreshed in the background. */
  soft: number;
  /** Flags that are denied when they are older than so long, and the value that stands in then. */
  denials: readonly { name: string; maxAge: number; value: unknown }[];
}

/** The demands of all flags together; `softAge` is the reader's own. */
export function freshnessOf({ flags: definitions }: Definitions, softAge: number): Freshness {
  const rules = Object.entries(definitions).flatMap(([name, { freshness }]: [string, FlagDefinition<unknown>]) =>
    freshness === undefined ? [] : [{ name, ...freshness }],
  );
  const least = (ages: number[]) => Math.min(Number.POSITIVE_INFINITY, ...ages);
  return {
    strictest: least(rules.filter(({ whenOlder }) => whenOlder !== "serve").map(({ maxAge }) => maxAge)),
    soft: least([softAge, ...rules.map(({ maxAge }) => maxAge)]),
    denials: rules.flatMap((rule) =>
      rule.whenOlder === "deny" ? [{ name: rule.name, maxAge: rule.maxAge, value: rule.value }] : [],
    ),
  };
}
