import type { Profile } from "../kinde/profile.ts";
import { computed } from "./computed.ts";
import type { FlagDefinition, Freshness } from "./definition.ts";

/**
 * A flag that must not be older than `maxAge` when an app server acts on it.
 *
 * ```ts
 * suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
 * ```
 */
export function fresh<T>(
  flag: FlagDefinition<T> | ((profile: Profile) => T),
  freshness: Freshness<T>,
): FlagDefinition<T> {
  const definition = typeof flag === "function" ? computed(flag.toString(), flag) : flag;
  return { ...definition, freshness };
}
