import type { Redis } from "ioredis";
import { primaries, type RedisClient } from "./client.ts";

/** Memory of Redis, in bytes. */
export interface RedisMemory {
  used: number;
  /** `maxmemory`; 0 without a limit. */
  limit: number;
}

/** Reads how much memory Redis uses: of several primaries, that of the fullest. At its limit it refuses writes, so events are no longer acknowledged. */
export async function readMemory(...clients: readonly RedisClient[]): Promise<RedisMemory> {
  const all = await Promise.all(clients.flatMap(primaries).map(readPrimary));
  const fullness = ({ used, limit }: RedisMemory) => (limit === 0 ? 0 : used / limit);
  const [fullest = { used: 0, limit: 0 }] = all.sort((a, b) => fullness(b) - fullness(a) || b.used - a.used);
  return fullest;
}

async function readPrimary(redis: Redis): Promise<RedisMemory> {
  const info = await redis.info("memory");
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  return { used: field("used_memory"), limit: field("maxmemory") };
}
