import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import type { SweepState } from "./sweep.ts";

/** Where a backfill stands. */
export interface BackfillPlace {
  state: SweepState;
  enqueued: number;
  calls: number;
}

/** Keeps the place of the backfill in Redis, so that any machine can go on. */
export interface SweepBookmark {
  read(): Promise<BackfillPlace | undefined>;
  write(place: BackfillPlace): Promise<void>;
  remove(): Promise<void>;
}

/** The one bookmark of a deployment. */
export function createSweepBookmark(redis: Redis, keys: Keys): SweepBookmark {
  const key = keys.ledgerPart("backfill");
  return {
    async read() {
      const text = await redis.get(key);
      return text === null ? undefined : (JSON.parse(text) as BackfillPlace);
    },
    async write(place) {
      await redis.set(key, JSON.stringify(place));
    },
    async remove() {
      await redis.del(key);
    },
  };
}
