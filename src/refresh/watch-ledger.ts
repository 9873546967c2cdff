import type { Queue } from "bullmq";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import type { Ledger, LedgerEntry, LedgerPlace } from "../redis/ledger.ts";
import { takeLock } from "../redis/lock.ts";
import { type FanoutSubject, type RefreshQueues, reprocessId } from "./queues.ts";

/** Dependencies and options of {@link watchLedger}. */
export interface WatchLedgerOptions {
  redis: RedisClient;
  keys: Keys;
  queues: RefreshQueues;
  ledger: Ledger;
  fanoutLedger: Ledger;
  now: () => number;
  /** Time between two checks by the fleet; younger members are skipped. Milliseconds. */
  intervalMs: number;
  /** Milliseconds before a member whose job used up its attempts gets another job. */
  retryMs: number;
  /** The same for failures that need a fix first, such as a missing scope. */
  failedRetryMs: number;
}

const pageSize = 500;

/**
 * Checks both ledgers once and enqueues every member without a live job, however the job was lost: a crash between ledger
 * and queue, a deletion in a dashboard, a write that Redis lost.
 *
 * @returns how many were enqueued; 0 if another process checked within the interval
 */
export async function watchLedger(options: WatchLedgerOptions): Promise<number> {
  const { redis, keys, queues, ledger: users, fanoutLedger: fanouts, intervalMs } = options;
  // Slightly shorter than the interval, so that a timer that fires a little early does not skip a whole interval.
  const free = await takeLock(redis, {
    lockKey: keys.ledgerPart("watch"),
    holder: "1",
    ttlMs: Math.ceil(intervalMs * 0.9),
  });
  if (!free) return 0;
  // Low priority: after a long outage these can be very many, and new events must not wait behind them.
  const lostUsers = await enqueueLost(options, users, [queues.refresh, queues.bulk], (members) =>
    queues.enqueueReprocess(members),
  );
  const lostFanouts = await enqueueLost(options, fanouts, [queues.fanout], (members) =>
    queues.enqueueFanouts(members.filter((member): member is FanoutSubject => member.includes(":"))),
  );
  return lostUsers + lostFanouts;
}

async function enqueueLost(
  options: WatchLedgerOptions,
  ledger: Ledger,
  candidates: readonly Pick<Queue, "getDeduplicationJobId" | "toKey">[],
  enqueue: (members: string[]) => Promise<void>,
): Promise<number> {
  const { redis, intervalMs } = options;
  let found = 0;
  let from: LedgerPlace | undefined;
  do {
    const page = await ledger.page({ ...(from && { from }), olderThanMs: intervalMs, limit: pageSize });
    const due = page.entries.filter((entry) => isDue(options, entry));
    const live = await Promise.all(due.map(({ member }) => hasJob(redis, candidates, [member, reprocessId(member)])));
    const lost = due.filter((_, index) => !live[index]).map(({ member }) => member);
    await enqueue(lost);
    found += lost.length;
    from = page.next;
  } while (from !== undefined);
  return found;
}

// An event after the failure needs a refresh regardless of earlier failures.
function isDue({ now, retryMs, failedRetryMs }: WatchLedgerOptions, { failure, newer }: LedgerEntry): boolean {
  if (failure === undefined || newer) return true;
  // A time far ahead stems from another process's clock, and must not postpone the retry until ours is there.
  return Math.abs(now() - failure.failedAt) > (failure.final ? failedRetryMs : retryMs);
}

/** Returns whether one of the queues has a job with one of the deduplication ids. */
export async function hasJob(
  redis: RedisClient,
  queues: readonly Pick<Queue, "getDeduplicationJobId" | "toKey">[],
  ids: readonly string[],
): Promise<boolean> {
  for (const queue of queues) {
    for (const id of ids) {
      const jobId = await queue.getDeduplicationJobId(id);
      if (jobId !== null && (await redis.exists(queue.toKey(jobId))) === 1) return true;
    }
  }
  return false;
}
