import { createRefresh } from "../compose/create-refresh.ts";
import { openStore } from "../compose/open-store.ts";
import { loadConfig } from "../config.ts";
import { KindlingError, RedisError } from "../errors.ts";
import { acceptValues } from "../flags/accept-values.ts";
import { userId as userIdSchema } from "../kinde/event.ts";
import { createLog } from "../log.ts";
import { parsePropertyValues } from "../refresh/property-values.ts";
import type { Kindling, KindlingOptions } from "./types.ts";

/**
 * Connects to Redis. Nothing is logged: an app server's output is its own, and what goes wrong comes back as an error.
 *
 * @throws {ConfigurationError} {RedisError}
 */
export async function openKindling<V extends Record<string, unknown>>({
  flags,
  env,
  fetch = globalThis.fetch,
}: KindlingOptions<V>): Promise<Kindling<V>> {
  const config = loadConfig(env);
  const world = { fetch, now: Date.now };
  const store = await openStore(config, world, createLog("silent"));
  const { setProperties } = createRefresh(config, world, store, flags);
  const never = new AbortController().signal;
  return {
    async setProperties(userId, properties, { refreshClaims = false, signal = never } = {}) {
      if (!userIdSchema.safeParse(userId).success) {
        throw new KindlingError("request_malformed", "A user id is kp_ and letters or digits.");
      }
      const call = { priority: "webhook", refreshClaims, signal } as const;
      try {
        const record = await setProperties(userId, parsePropertyValues(properties), call);
        return { flags: acceptValues(flags, record.flags), ticket: record.ticket, fetchedAt: record.fetchedAt };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof KindlingError) throw error;
        throw new RedisError("redis_unavailable", "Redis does not answer: nothing was set. Try again.", {
          cause: error,
        });
      }
    },
    close: () => store.close(),
  };
}
