import type { Definitions } from "./define-flags.ts";

/** Returns a fresh copy of the defaults, so that an app that mutates one answer does not change the next. */
export function copyDefaults<V extends Record<string, unknown>>({ defaults }: Definitions<V>): V {
  return acceptValues({ flags: {}, defaults }, {});
}

/**
 * Filters the values of a record through these definitions. The record can come from a process with other definitions,
 * so a value that its flag cannot have is replaced by the default, and unknown names are dropped.
 */
export function acceptValues<V extends Record<string, unknown>>(
  { flags, defaults }: Pick<Definitions<V>, "flags" | "defaults">,
  stored: Readonly<Record<string, unknown>>,
): V {
  const values: Record<string, unknown> = {};
  for (const name in defaults) {
    const value = Object.hasOwn(stored, name) ? stored[name] : undefined;
    const accepted = value !== undefined && flags[name]?.accepts(value);
    values[name] = accepted ? value : copy(defaults[name]);
  }
  // Sound: every name has a default, and each value was accepted by its definition.
  return values as V;
}

function copy(value: unknown): unknown {
  return typeof value === "object" && value !== null ? structuredClone(value) : value;
}
