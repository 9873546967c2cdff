import { setTimeout as delay } from "node:timers/promises";
import type { RedisClient } from "../redis/client.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { RefreshQueues } from "./queues.ts";
import { hasJob } from "./watch-ledger.ts";

/** Dependencies of {@link drainConfirmations}. */
export interface DrainConfirmationsOptions {
  redis: RedisClient;
  ledger: Pick<Ledger, "takeUnconfirmed">;
  queues: Pick<RefreshQueues, "confirm" | "enqueueConfirm">;
  /** How long after its event a user is confirmed, in milliseconds. */
  settleMs: number;
  onError: (error: unknown) => void;
}

/** Users that one job confirms, one after the other. */
const batchSize = 20;
/** Users taken at once. */
const mostTaken = 100;
/** How long a job may take before its users are taken again, in milliseconds. */
const takenForMs = 60_000;
/** Jobs that wait or run at which no further users are taken: they wait in the ledger. */
const mostJobs = 50;
/** Pauses between two looks, in milliseconds. The longer one ends early for users that are known to become due. */
const [shortestPauseMs, longestPauseMs] = [1_000, 5_000];

/**
 * Takes users whose confirming refresh is due from the ledger, and adds a job for each batch of them. The ledger keeps them
 * until they are confirmed: what happens to a job costs time only.
 */
export function drainConfirmations({ redis, ledger, queues, settleMs, onError }: DrainConfirmationsOptions): {
  close(): Promise<void>;
} {
  const closing = new AbortController();
  const pause = (ms: number) => delay(ms, undefined, { signal: closing.signal }).catch(() => undefined);

  /** Drains once and returns how long to pause, in milliseconds. */
  const drain = async (): Promise<number> => {
    if ((await queues.confirm.getJobCountByTypes("waiting", "active")) >= mostJobs) return shortestPauseMs;
    const { members, nextInMs } = await ledger.takeUnconfirmed({ limit: mostTaken, forMs: takenForMs });
    const retried = await Promise.all(members.map((member) => hasJob(redis, [queues.confirm], [member])));
    const userIds = members.filter((_, index) => !retried[index]);
    for (let at = 0; at < userIds.length; at += batchSize) {
      await queues.enqueueConfirm(userIds.slice(at, at + batchSize));
    }
    if (members.length === mostTaken) return 0;
    return Math.max(shortestPauseMs, Math.min(nextInMs ?? longestPauseMs, longestPauseMs, settleMs));
  };

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        await pause(await drain());
      } catch (error) {
        if (closing.signal.aborted) return;
        onError(error);
        await pause(shortestPauseMs);
      }
    }
  };
  const running = run();

  return {
    async close() {
      closing.abort();
      await running;
    },
  };
}
