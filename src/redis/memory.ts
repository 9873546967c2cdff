import type { Redis } from "ioredis";

/** Memory of Redis, in bytes. */
export interface RedisMemory {
  used: number;
  /** `maxmemory`; 0 without a limit. */
  limit: number;
}

/** Reads how much memory Redis uses. At its limit it refuses writes, so events are no longer acknowledged. */
export async function readMemory(redis: Redis): Promise<RedisMemory> {
  const info = await redis.info("memory");
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  return { used: field("used_memory"), limit: field("maxmemory") };
}
