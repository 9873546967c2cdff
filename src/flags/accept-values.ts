import type { Flags } from "./define-flags.ts";

/**
 * The values of a record as these definitions have them: a record may stem from a process with others, so each value is
 * taken only if its flag could have it, and the default stands in else.
 */
export function acceptValues<V extends Record<string, unknown>>(
  flags: Flags<V>,
  found: Readonly<Record<string, unknown>>,
): V {
  // Defaults of its own for each answer: what an app does to one must not show in another's.
  const values: Record<string, unknown> = structuredClone(flags.defaults);
  for (const [name, definition] of Object.entries(flags.definitions)) {
    const value = Object.hasOwn(found, name) ? found[name] : undefined;
    if (value !== undefined && definition.accepts(value)) values[name] = value;
  }
  // Every name is there with a default, and each value was accepted by its definition.
  return values as V;
}
