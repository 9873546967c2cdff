import { createHash, randomUUID } from "node:crypto";
import { z } from "zod";
import type { AccessToken, AccessTokenStore } from "../kinde/access-token.ts";
import { type RedisClient, scanKeys } from "./client.ts";
import type { Keys } from "./keys.ts";
import { releaseLock, takeLock } from "./lock.ts";
import { defineScript, noAnswer } from "./script.ts";
import { storedShape } from "./stored.ts";

/** Options for {@link createRedisTokenStore}. */
export interface RedisTokenStoreOptions {
  redis: RedisClient;
  keys: Keys;
  now: () => number;
  /** Lifetime of the lock if its holder dies, in milliseconds. Must exceed the time-out of a token request. */
  lockMs: number;
  /** A token is only valid for the `domain`, `clientId` and `audience` it was issued for. */
  domain: string;
  clientId: string;
  audience: string;
}

const storedToken = storedShape<AccessToken>(
  1,
  z.object({ token: z.string().min(1), issuedAt: z.number(), expiresAt: z.number() }),
  { migrate: (older) => older },
);

const forgetToken = defineScript("forget-token", {
  call: (input: { tokenKey: string; token: string }) => ({ keys: [input.tokenKey], args: [input.token] }),
  answer: noAnswer,
});

/** Creates a store that shares one token among all processes and drops it when it expires. */
export function createRedisTokenStore(options: RedisTokenStoreOptions): AccessTokenStore {
  const { redis, keys, now, lockMs, domain, clientId, audience } = options;
  const application = createHash("sha256")
    .update(JSON.stringify([domain, clientId, audience]))
    .digest("hex");
  const tokenKey = `${keys.accessToken}:${application.slice(0, 16)}`;
  const lockKey = `${tokenKey}:lock`;
  return {
    async read() {
      return storedToken.parse(await redis.get(tokenKey));
    },
    async write(token) {
      await redis.set(tokenKey, storedToken.serialize(token), "PX", Math.max(1, Math.floor(token.expiresAt - now())));
    },
    async forget(token) {
      await forgetToken(redis, { tokenKey, token });
    },
    async exclusively(task) {
      const holder = randomUUID();
      const unlock = () => releaseLock(redis, { lockKey, holder }).catch(() => undefined);
      let acquired: boolean;
      try {
        acquired = await takeLock(redis, { lockKey, holder, ttlMs: lockMs });
      } catch (error) {
        // After a time-out, Redis can still grant the lock: it would block everybody until it expires.
        void unlock();
        throw error;
      }
      if (!acquired) return false;
      try {
        await task();
      } finally {
        await unlock();
      }
      return true;
    },
  };
}

/**
 * Deletes every access token under the prefix, whichever application it was issued for, so that the fleet requests new
 * ones with the scopes granted since.
 *
 * @returns the number of tokens deleted
 */
export async function forgetTokens(redis: RedisClient, keys: Pick<Keys, "accessToken">): Promise<number> {
  let [deleted, cursor] = [0, "0"];
  do {
    const [next, names] = await scanKeys(redis, cursor, { match: `${keys.accessToken}:*`, count: 1_000 });
    const tokens = names.filter((name) => !name.endsWith(":lock"));
    if (tokens.length > 0) deleted += await redis.unlink(tokens);
    cursor = next;
  } while (cursor !== "0");
  return deleted;
}
