import { KindlingError } from "../errors.ts";
import type { Kindling, KindlingOptions } from "./types.ts";

/**
 * Kindling within an app server, for what takes more than reading. It needs the workers' settings, Kinde's credentials
 * among them, and a Redis user who may write. Nothing is loaded or connected before the first call, so that whoever
 * imports `kindling` for a flags file alone carries none of it.
 *
 * ```ts
 * const kindling = createKindling({ flags });
 * const { flags: user } = await kindling.setProperties(userId, { onboarded: true });
 * ```
 */
export function createKindling<V extends Record<string, unknown>>(options: KindlingOptions<V>): Kindling<V> {
  let opening: Promise<Kindling<V>> | undefined;
  let closed = false;
  const load = async () => (await import("./open-kindling.ts")).openKindling(options);
  const open = () => {
    if (closed) throw new KindlingError("closed", "This Kindling is closed: create another one.");
    opening ??= load().catch((error: unknown) => {
      // The next call tries again: a Redis that was away may be back.
      opening = undefined;
      throw error;
    });
    return opening;
  };
  return {
    async setProperties(userId, properties, setOptions = {}) {
      return (await open()).setProperties(userId, properties, setOptions);
    },
    async close() {
      closed = true;
      const opened = await opening?.catch(() => undefined);
      opening = undefined;
      await opened?.close();
    },
  };
}
