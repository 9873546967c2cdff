import type { Reader } from "../reader/types.ts";
import type { Writer } from "./types.ts";

/** Wraps a writer so that a caching reader of this process never answers with a value from before a write. */
export function announceWrites<V extends Record<string, unknown>>(
  writer: Writer<V>,
  reader: Pick<Reader<V>, "observe">,
): Writer<V> {
  return {
    async setProperties(userId, properties, options) {
      try {
        const result = await writer.setProperties(userId, properties, options);
        reader.observe(userId, result.ticket);
        return result;
      } catch (error) {
        // Kinde may have the values: whatever is in memory counts as old.
        reader.observe(userId, Number.POSITIVE_INFINITY);
        throw error;
      }
    },
  };
}
