import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";

/** Where a walk over all users stands. */
export interface Place {
  /** Of the page to read next. */
  cursor: string;
  /** Users enqueued before it. */
  enqueued: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

/** Keeps the place of the walk over all users, in Redis, so that any machine can go on. */
export interface Bookmark {
  read(): Promise<Place | undefined>;
  write(place: Place): Promise<void>;
  remove(): Promise<void>;
}

/** The one bookmark of a deployment. */
export function createBookmark(redis: Redis, keys: Keys): Bookmark {
  const key = keys.ledgerPart("reprocess");
  return {
    async read() {
      const { cursor, enqueued, startedAt } = await redis.hgetall(key);
      if (cursor === undefined) return undefined;
      return { cursor, enqueued: Number(enqueued ?? 0), startedAt: Number(startedAt ?? 0) };
    },
    async write(place) {
      await redis.hset(key, place);
    },
    async remove() {
      await redis.del(key);
    },
  };
}
