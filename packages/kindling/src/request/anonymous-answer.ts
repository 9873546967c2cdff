import { copyDefaults } from "../definitions/accept-values.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import { freshnessRules } from "../reader/freshness.ts";
import type { ReadResult } from "../reader/types.ts";

/** Returns the answer for a caller nobody knows: defaults, except that flags with a deny rule have its `value`. */
export function anonymousAnswer<V extends Record<string, unknown>>(definitions: Definitions<V>): ReadResult<V> {
  const { denials } = freshnessRules(definitions, Number.POSITIVE_INFINITY);
  const denied = Object.fromEntries(denials.map(({ name, value }) => [name, value]));
  return {
    flags: { ...copyDefaults(definitions), ...denied },
    status: "missing",
    source: "defaults",
    fetchedAt: null,
    age: null,
    denied: Object.keys(denied),
  };
}
