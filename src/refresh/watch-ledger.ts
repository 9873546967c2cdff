import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import type { Ledger, LedgerEntry, LedgerPlace } from "../redis/ledger.ts";
import { type FanoutSubject, type RefreshQueues, reprocessId } from "./queues.ts";

/** Dependencies and options of {@link watchLedger}. */
export interface WatchLedgerOptions {
  redis: Redis;
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
  const free = await redis.set(keys.ledgerPart("watch"), "1", "PX", Math.ceil(intervalMs * 0.9), "NX");
  if (free === null) return 0;
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
    const live = await Promise.all(due.map(({ member }) => hasJob(redis, candidates, member)));
    const lost = due.filter((_, index) => !live[index]).map(({ member }) => member);
    await enqueue(lost);
    found += lost.length;
    from = page.next;
  } while (from !== undefined);
  return found;
}

// An event after the failure needs a refresh regardless of earlier failures.
function isDue({ now, retryMs, failedRetryMs }: WatchLedgerOptions, { failure, latest }: LedgerEntry): boolean {
  if (failure === undefined || latest / 1000 > failure.failedAt) return true;
  return now() - failure.failedAt > (failure.final ? failedRetryMs : retryMs);
}

async function hasJob(
  redis: Redis,
  queues: readonly Pick<Queue, "getDeduplicationJobId" | "toKey">[],
  member: string,
): Promise<boolean> {
  for (const queue of queues) {
    for (const id of [member, reprocessId(member)]) {
      const jobId = await queue.getDeduplicationJobId(id);
      if (jobId !== null && (await redis.exists(queue.toKey(jobId))) === 1) return true;
    }
  }
  return false;
}
