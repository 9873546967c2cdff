import { createHash, randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { AccessToken, AccessTokenStore } from "../kinde/access-token.ts";
import type { Keys } from "./keys.ts";
import { defineScript } from "./script.ts";

/** What the store needs. */
export interface RedisTokenStoreOptions {
  redis: Redis;
  keys: Keys;
  now: () => number;
  /** A holder of the lock that died gives it up after so long, in milliseconds: above the request's time-out. */
  lockMs: number;
  /** Whom tokens are issued by, to whom, and for what: with any other of these another token is needed. */
  domain: string;
  clientId: string;
  audience: string;
}

const forgetScript = defineScript(`
local text = redis.call('GET', KEYS[1])
if text and cjson.decode(text).token == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);

const unlockScript = defineScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);

/** One token for the whole fleet, in Redis, gone when it expires. */
export function createRedisTokenStore(options: RedisTokenStoreOptions): AccessTokenStore {
  const { redis, keys, now, lockMs, domain, clientId, audience } = options;
  const application = createHash("sha256")
    .update(JSON.stringify([domain, clientId, audience]))
    .digest("hex");
  const key = `${keys.accessToken}:${application.slice(0, 16)}`;
  const lock = `${key}:lock`;
  return {
    async read() {
      const text = await redis.get(key);
      return text === null ? undefined : (JSON.parse(text) as AccessToken);
    },
    async write(token) {
      await redis.set(key, JSON.stringify(token), "PX", Math.max(1, Math.floor(token.expiresAt - now())));
    },
    async forget(token) {
      await forgetScript(redis, [key], [token]);
    },
    async exclusively(task) {
      const holder = randomUUID();
      const unlock = () => unlockScript(redis, [lock], [holder]).catch(() => undefined);
      let taken: "OK" | null;
      try {
        taken = await redis.set(lock, holder, "PX", lockMs, "NX");
      } catch (error) {
        // A Redis that hangs may grant it once we have stopped waiting: nobody would hold it, and all would wait.
        void unlock();
        throw error;
      }
      if (taken === null) return false;
      try {
        await task();
      } finally {
        await unlock();
      }
      return true;
    },
  };
}
