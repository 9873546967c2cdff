import type { Flags } from "./define-flags.ts";

/** Defaults of its own for each answer: what an app does to one must not show in another's. */
export function copyDefaults<V extends Record<string, unknown>>({ defaults }: Flags<V>): V {
  const flat = Object.values(defaults).every((value) => typeof value !== "object" || value === null);
  return flat ? { ...defaults } : structuredClone(defaults);
}

/**
 * The values of a record as these definitions have them: a record may stem from a process with others, so each value is
 * taken only if its flag could have it, and the default stands in else.
 */
export function acceptValues<V extends Record<string, unknown>>(
  flags: Flags<V>,
  found: Readonly<Record<string, unknown>>,
): V {
  const values: Record<string, unknown> = copyDefaults(flags);
  for (const [name, definition] of Object.entries(flags.definitions)) {
    const value = Object.hasOwn(found, name) ? found[name] : undefined;
    if (value !== undefined && definition.accepts(value)) values[name] = value;
  }
  // Every name is there with a default, and each value was accepted by its definition.
  return values as V;
}
