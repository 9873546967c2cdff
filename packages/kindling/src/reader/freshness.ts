import type { Definitions } from "../definitions/define-flags.ts";
import type { FlagDefinition } from "../definitions/definition.ts";

/** The age limits of all flags together. Ages are in milliseconds. */
export interface FreshnessRules {
  /** Age beyond which a read waits for a refresh; `Infinity` if no flag asks for it. */
  strictest: number;
  /** Age beyond which a read requests a refresh in the background. */
  soft: number;
  /** Flags to answer with `value` when they are older than `maxAge`. */
  denials: readonly { name: string; maxAge: number; value: unknown }[];
}

/** Collects the age limits of the flags; `softAge` is the reader's own. */
export function freshnessRules({ flags }: Definitions, softAge: number): FreshnessRules {
  const rules = Object.entries(flags).flatMap(([name, { freshness }]: [string, FlagDefinition<unknown>]) =>
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
