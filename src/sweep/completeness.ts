import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";

/** Whether the store holds everybody Kinde has. A wiped or new Redis has no mark, which is how it is told from a full one. */
export interface Completeness {
  /** Since when, milliseconds since the epoch; `undefined` while it is not filled. */
  since(): Promise<number | undefined>;
  /** Notes that everybody is held; an earlier note stands. */
  mark(now: number): Promise<void>;
}

/** The mark, over one connection. */
export function createCompleteness({ redis, keys }: { redis: Redis; keys: Pick<Keys, "complete"> }): Completeness {
  return {
    async since() {
      const text = await redis.get(keys.complete);
      return text === null ? undefined : (JSON.parse(text) as { since: number }).since;
    },
    async mark(now) {
      await redis.set(keys.complete, JSON.stringify({ since: now }), "NX");
    },
  };
}
