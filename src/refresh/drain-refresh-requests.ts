import { setTimeout as delay } from "node:timers/promises";
import type { Absences } from "../redis/absences.ts";
import type { RefreshRequest, RefreshRequests, Urgency } from "../redis/refresh-requests.ts";
import type { RefreshQueues } from "./queues.ts";

/** Dependencies of {@link drainRefreshRequests}. */
export interface DrainOptions {
  requests: RefreshRequests;
  queues: Pick<RefreshQueues, "requests" | "enqueueRefreshRequests">;
  /** Users that Kinde did not find a moment ago: their requests are answered without a call. */
  absences: Pick<Absences, "unknown" | "wakeReaders">;
  /** Notes that somebody reads these users. */
  noteRead: (userIds: readonly string[]) => void;
  onError: (error: unknown) => void;
}

/** Refresh requests drained at once. */
const batchSize = 20;
/**
 * Jobs that can wait or run in the queue of requests. All further requests stay in Redis' sorted sets, where they are
 * deduplicated by user and bounded. Readers wait for `now`, so a part of the queue is kept for it.
 */
const backlog = { now: 200, later: 100 } as const;
/** How long one command blocks, in seconds. */
const blockSeconds = { idle: 5, full: 1 };
/** Pause before the length of a full queue is checked again, in milliseconds. */
const fullMs = 200;

/** Drains refresh requests into BullMQ. A request is a hint: if one is lost with its process, the next read repeats it. */
export function drainRefreshRequests({ requests, queues, absences, noteRead, onError }: DrainOptions): {
  close(): Promise<void>;
} {
  const closing = new AbortController();
  const pause = (ms: number) => delay(ms, undefined, { signal: closing.signal }).catch(() => undefined);

  const jobs = () => queues.requests.getJobCountByTypes("waiting", "prioritized", "active", "delayed");

  const enqueue = async (drained: readonly RefreshRequest[], urgency: Urgency) => {
    const unknown = await absences.unknown(drained.map(({ userId }) => userId));
    if (urgency === "now") await absences.wakeReaders(unknown);
    const known = drained.filter(({ userId }) => !unknown.has(userId));
    noteRead(known.map(({ userId }) => userId));
    await queues.enqueueRefreshRequests(known, urgency);
  };

  /** Drains one batch. `held` is the number of jobs at the last look; returns their number now. */
  const drain = async (held: number): Promise<number> => {
    if (held >= backlog.now) await pause(fullMs);
    else {
      const hasRoom = held < backlog.later;
      const first = await requests.wait(
        hasRoom ? ["now", "later"] : ["now"],
        hasRoom ? blockSeconds.idle : blockSeconds.full,
      );
      // Nothing to drain: an idle queue is not asked for its length each time.
      if (first === undefined && hasRoom) return held;
      if (first !== undefined) await enqueue(first.requests, first.urgency);
    }
    const before = await jobs();
    const now = await requests.take("now", room(backlog.now - before));
    const later = await requests.take("later", room(backlog.later - before - now.length));
    await enqueue(now, "now");
    await enqueue(later, "later");
    return before + now.length + later.length;
  };

  const run = async () => {
    let held = 0;
    while (!closing.signal.aborted) {
      try {
        held = await drain(held);
      } catch (error) {
        if (closing.signal.aborted) return;
        onError(error);
        // ioredis reconnects on its own. The delay prevents a tight loop when Redis rejects commands.
        await pause(1_000);
      }
    }
  };
  const running = run();

  return {
    async close() {
      closing.abort();
      requests.close();
      await running;
    },
  };
}

function room(free: number): number {
  return Math.max(0, Math.min(batchSize, free));
}
