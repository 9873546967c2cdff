import { z } from "zod";

/** A versioned shape in Redis: an object whose member `v` is the version of its schema. */
export interface StoredShape<Value extends object> {
  version: number;
  /** Adds the version. For job data and hashes, which are not stored as our own JSON text. */
  versioned(value: Value): Value & { v: number };
  /** Returns the JSON text to store. */
  serialize(value: Value): string;
  /**
   * Parses a JSON text, or an object such as job data or a hash, and migrates older versions. Never throws: malformed
   * data and newer versions give `undefined`, so that a rolled-back release starts again instead of crashing.
   */
  parse(stored: unknown): Value | undefined;
}

/** Options for {@link storedShape}. */
export interface StoredShapeOptions {
  /** Converts an older version to the current one; the schema checks the result. Without it, older versions are dropped. */
  migrate?: (older: Readonly<Record<string, unknown>>, version: number) => unknown;
}

// Hash fields are always strings. Data without `v` was written before versions existed.
const envelope = z.looseObject({
  v: z
    .union([
      z.int().nonnegative(),
      z
        .string()
        .regex(/^\d{1,9}$/)
        .transform(Number),
    ])
    .default(0),
});

/**
 * Defines a versioned shape. Increase the version whenever the schema rejects or misreads what the previous release
 * wrote.
 *
 * @example
 * const place = storedShape(2, z.object({ cursor: z.string(), done: z.int() }), {
 *   migrate: (older) => ({ done: 0, ...older }),
 * });
 * await redis.set(key, place.serialize({ cursor: "a", done: 3 }));
 * place.parse(await redis.get(key)); // { cursor: "a", done: 3 }, or undefined
 */
export function storedShape<Value extends object>(
  version: number,
  schema: z.ZodType<Value>,
  { migrate }: StoredShapeOptions = {},
): StoredShape<Value> {
  const versioned = (value: Value) => ({ ...value, v: version });
  return {
    version,
    versioned,
    serialize: (value) => JSON.stringify(versioned(value)),
    parse(stored) {
      try {
        const { v, ...members } = envelope.parse(typeof stored === "string" ? JSON.parse(stored) : stored);
        if (v > version || (v < version && migrate === undefined)) return undefined;
        return schema.parse(v < version ? migrate?.(members, v) : members);
      } catch {
        return undefined;
      }
    },
  };
}
