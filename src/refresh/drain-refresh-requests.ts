import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import { userId as userIdSchema } from "../kinde/ids.ts";
import type { Keys } from "../redis/keys.ts";
import type { RefreshQueues } from "./queues.ts";

/** What granting wishes needs. */
export interface DrainOptions {
  /** A connection to block on; ended by `close`. */
  redis: Redis;
  keys: Pick<Keys, "refreshRequests">;
  queues: Pick<RefreshQueues, "bulk" | "enqueueRefreshRequests">;
  onError: (error: unknown) => void;
}

/** Wishes taken in one go. */
const batchSize = 100;
/**
 * Nobody waits for a background wish: while so many jobs wait in the bulk queue they stay where they are, where a second
 * one for the same user adds nothing, and the sweep does not have to stand behind them.
 */
const backlog = 200;
/** Longest time on one blocking command, in seconds; then it is looked again whether there is room. */
const blockSeconds = 1;

/**
 * Turns what readers wish into jobs. A wish is a hint: one that is lost with its process is made again by the next read.
 */
export function drainRefreshRequests({ redis, keys, queues, onError }: DrainOptions): { close(): Promise<void> } {
  const { now, later } = keys.refreshRequests;
  const closing = new AbortController();

  const grant = async () => {
    const hasRoom = (await queues.bulk.getWaitingCount()) < backlog;
    const first = await redis.bzpopmin(...(hasRoom ? [now, later] : [now]), blockSeconds);
    if (first === null) return;
    const [key, userId, score] = first;
    const more = await redis.zpopmin(key, batchSize - 1);
    const wishes = [{ userId, freshSince: Number(score) }];
    for (let index = 0; index < more.length; index += 2) {
      wishes.push({ userId: String(more[index]), freshSince: Number(more[index + 1]) });
    }
    // Whoever may read may write here.
    const plausible = wishes.filter((wish) => userIdSchema.safeParse(wish.userId).success);
    await queues.enqueueRefreshRequests(plausible, key === now ? "refresh" : "bulk");
  };

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        await grant();
      } catch (error) {
        if (closing.signal.aborted) return;
        onError(error);
        // The connection reconnects by itself, and its commands wait until it has; this is against all other trouble.
        await delay(1_000, undefined, { signal: closing.signal }).catch(() => undefined);
      }
    }
  };
  const running = run();

  return {
    async close() {
      closing.abort();
      redis.disconnect();
      await running;
    },
  };
}
