import type { Definitions } from "./define-flags.ts";
import { type StoredFlags, storedValue } from "./in-organizations.ts";

/** Returns a fresh copy of the defaults, so that an app that mutates one answer does not change the next. */
export function copyDefaults<V extends Record<string, unknown>>({ defaults }: Definitions<V>): V {
  return acceptValues({ flags: {}, defaults }, { flags: {} });
}

/**
 * Filters the values of a record through these definitions. The record can come from a process with other definitions,
 * so a value that its flag cannot have is replaced by the default, and unknown names are dropped.
 *
 * @param organization The current organization. Without one, flags that depend on it have their defaults
 */
export function acceptValues<V extends Record<string, unknown>>(
  { flags, defaults }: Pick<Definitions<V>, "flags" | "defaults">,
  stored: StoredFlags,
  organization?: string,
): V {
  const values: Record<string, unknown> = {};
  for (const name in defaults) {
    const definition = flags[name];
    const value = definition === undefined ? undefined : storedValue(definition, name, stored, organization);
    values[name] = value !== undefined && definition?.accepts(value) ? value : copy(defaults[name]);
  }
  // Sound: every name has a default, and each value was accepted by its definition.
  return values as V;
}

/** Returns a copy that shares no object with a value that JSON can hold. */
export function copy(value: unknown): unknown {
  return typeof value === "object" && value !== null ? structuredClone(value) : value;
}
