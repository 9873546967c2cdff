import type { Definitions } from "../definitions/define-flags.ts";
import type { FlagDefinition } from "../definitions/definition.ts";

/** The age limits of all flags together. Ages are in milliseconds. */
export interface FreshnessRules {
  /** Age beyond which a read waits for a refresh; `Infinity` if no flag asks for it. */
  strictest: number;
  /** Age beyond which a read requests a refresh in the background, because a flag asks for it; `Infinity` if none does. */
  limit: number;
  /** The same for account fields and properties, whatever the flags ask for. */
  soft: number;
  /** Flags to answer with `value` when they are older than `maxAge`. */
  denials: readonly { name: string; maxAge: number; value: unknown }[];
}

/** Collects the age limits of the flags; `soft` is the reader's own. */
export function freshnessRules({ flags }: Definitions, soft: number): FreshnessRules {
  const rules = Object.entries(flags).flatMap(([name, { freshness }]: [string, FlagDefinition<unknown>]) =>
    freshness === undefined ? [] : [{ name, ...freshness }],
  );
  const least = (ages: number[]) => Math.min(Number.POSITIVE_INFINITY, ...ages);
  return {
    strictest: least(rules.filter(({ whenOlder }) => whenOlder !== "serve").map(({ maxAge }) => maxAge)),
    limit: least(rules.map(({ maxAge }) => maxAge)),
    soft,
    denials: rules.flatMap((rule) =>
      rule.whenOlder === "deny" ? [{ name: rule.name, maxAge: rule.maxAge, value: rule.value }] : [],
    ),
  };
}
