import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/** A Lua script. */
export interface Script {
  /** Runs it on one connection: keys, then arguments. */
  (redis: Redis, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  /** Runs it for many in one round trip, each for itself, and answers in their order. */
  many(redis: Redis, runs: readonly ScriptRun[]): Promise<unknown[]>;
}

/** One run of many. */
export interface ScriptRun {
  keys: readonly string[];
  args: readonly (string | number)[];
}

/**
 * A Lua script, called by its digest and sent whole only where Redis does not know it: at first use, and again after a
 * restart or a `SCRIPT FLUSH`.
 */
export function defineScript(lua: string): Script {
  const digest = createHash("sha1").update(lua).digest("hex");
  const run = async (redis: Redis, keys: readonly string[], args: readonly (string | number)[]) => {
    try {
      return await redis.evalsha(digest, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isUnknown(error)) throw error;
      return await redis.eval(lua, keys.length, ...keys, ...args);
    }
  };
  const many = async (redis: Redis, runs: readonly ScriptRun[]) => {
    if (runs.length === 0) return [];
    const pipeline = redis.pipeline();
    for (const { keys, args } of runs) pipeline.evalsha(digest, keys.length, ...keys, ...args);
    const answers = (await pipeline.exec()) ?? [];
    return Promise.all(
      runs.map(({ keys, args }, index) => {
        const [error, answer] = answers[index] ?? [new Error("Connection is closed."), undefined];
        if (isUnknown(error)) return redis.eval(lua, keys.length, ...keys, ...args);
        if (error) throw error;
        return answer;
      }),
    );
  };
  return Object.assign(run, { many });
}

function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
