import type { Definitions } from "./define-flags.ts";

/** Defaults of its own for each answer: what an app does to one must not show in another's. */
export function copyDefaults<V extends Record<string, unknown>>({ defaults }: Definitions<V>): V {
  return acceptValues({ flags: {}, defaults }, {});
}

/**
 * The values of a record as these definitions have them: a record may stem from a process with others, so each value is
 * taken only if its flag could have it, and the default stands in else.
 */
export function acceptValues<V extends Record<string, unknown>>(
  { flags: definitions, defaults }: Pick<Definitions<V>, "flags" | "defaults">,
  found: Readonly<Record<string, unknown>>,
): V {
  const values: Record<string, unknown> = {};
  for (const name in defaults) {
    const value = Object.hasOwn(found, name) ? found[name] : undefined;
    const accepted = value !== undefined && definitions[name]?.accepts(value);
    values[name] = accepted ? value : copy(defaults[name]);
  }
  // Every name is there with a default, and each value was accepted by its definition.
  return values as V;
}

function copy(value: unknown): unknown {
  return typeof value === "object" && value !== null ? structuredClone(value) : value;
}
