import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/** Runs a Lua script on one connection: keys, then arguments. */
export type Script = (redis: Redis, keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>;

/**
 * A Lua script, called by its digest and sent whole only where Redis does not know it: at first use, and again after a
 * restart or a `SCRIPT FLUSH`.
 */
export function defineScript(lua: string): Script {
  const digest = createHash("sha1").update(lua).digest("hex");
  return async (redis, keys, args) => {
    try {
      return await redis.evalsha(digest, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return await redis.eval(lua, keys.length, ...keys, ...args);
    }
  };
}
