import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { startEmbeddedRedis } from "./embedded-redis.ts";

/** The Redis of the demo: where it is, and the prefix that is the demo's own. */
export interface DemoRedis {
  url: string;
  prefix: string;
  /** How to reach it, without credentials. */
  cli: string;
  close(): Promise<void>;
}

/** The one given, under a prefix that nobody else uses and that is emptied at the end; else one of the demo's own. */
export async function openDemoRedis(given: string | undefined, say: (line: string) => void): Promise<DemoRedis> {
  if (given) {
    const prefix = `kindling-demo-${randomBytes(4).toString("hex")}`;
    return { url: given, prefix, cli: 'redis-cli -u "$REDIS_URL"', close: () => removeKeys(given, prefix) };
  }
  const embedded = await startEmbeddedRedis({ say });
  const { url, close } = embedded;
  return { url, prefix: "kindling", cli: `redis-cli -u ${url}`, close };
}

async function removeKeys(url: string, prefix: string): Promise<void> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1 });
  redis.on("error", () => undefined);
  try {
    for await (const keys of redis.scanStream({ match: `*${prefix}*`, count: 1000 })) {
      if (keys.length > 0) await redis.unlink(keys);
    }
  } finally {
    redis.disconnect();
  }
}
