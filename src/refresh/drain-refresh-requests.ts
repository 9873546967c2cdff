import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import { userId as userIdSchema } from "../kinde/ids.ts";
import type { Absences } from "../redis/absences.ts";
import type { Keys } from "../redis/keys.ts";
import type { RefreshQueues } from "./queues.ts";

/** Dependencies of {@link drainRefreshRequests}. */
export interface DrainOptions {
  /** A connection for blocking commands. `close` disconnects it. */
  redis: Redis;
  keys: Pick<Keys, "refreshRequests">;
  queues: Pick<RefreshQueues, "bulk" | "enqueueRefreshRequests">;
  /** Users that Kinde did not find a moment ago: their requests are answered without a call. */
  absences: Pick<Absences, "unknown" | "wakeReaders">;
  onError: (error: unknown) => void;
}

/** Refresh requests drained at once. */
const batchSize = 100;
/**
 * Background requests stay in Redis while this many jobs wait in the bulk queue. There they are deduplicated by user, and
 * the sweep does not have to wait behind them.
 */
const backlog = 200;
/** How long one command blocks, in seconds. After that, the length of the bulk queue is checked again. */
const blockSeconds = 1;

/** Drains refresh requests into BullMQ. A request is a hint: if one is lost with its process, the next read repeats it. */
export function drainRefreshRequests({ redis, keys, queues, absences, onError }: DrainOptions): {
  close(): Promise<void>;
} {
  const { now, later } = keys.refreshRequests;
  const closing = new AbortController();

  const drain = async () => {
    const hasRoom = (await queues.bulk.getWaitingCount()) < backlog;
    const first = await redis.bzpopmin(...(hasRoom ? [now, later] : [now]), blockSeconds);
    if (first === null) return;
    const [key, userId, score] = first;
    const more = await redis.zpopmin(key, batchSize - 1);
    const requests = [{ userId, freshSince: Number(score) }];
    for (let index = 0; index < more.length; index += 2) {
      requests.push({ userId: String(more[index]), freshSince: Number(more[index + 1]) });
    }
    // Every app server can write to these keys, so their content is untrusted.
    const valid = requests.filter((request) => userIdSchema.safeParse(request.userId).success);
    const unknown = await absences.unknown(valid.map((request) => request.userId));
    if (key === now) await absences.wakeReaders(unknown);
    const wanted = valid.filter((request) => !unknown.has(request.userId));
    await queues.enqueueRefreshRequests(wanted, key === now ? "refresh" : "bulk");
  };

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        await drain();
      } catch (error) {
        if (closing.signal.aborted) return;
        onError(error);
        // ioredis reconnects on its own. The delay prevents a tight loop when Redis rejects commands.
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
