import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import type { Ledger, LedgerEntry, LedgerPlace } from "../redis/ledger.ts";
import { type FanoutSubject, type RefreshQueues, reprocessId } from "./queues.ts";

/** What a watch over the ledgers needs. */
export interface WatchLedgerOptions {
  redis: Redis;
  keys: Keys;
  queues: RefreshQueues;
  ledger: Ledger;
  fanoutLedger: Ledger;
  now: () => number;
  /** Time between two watches of the whole fleet; a member younger than that is left alone. Milliseconds. */
  intervalMs: number;
  /** A member whose job gave up after many attempts gets another after so long, in milliseconds. */
  retryMs: number;
  /** The same, where no retry helps before somebody has mended something. */
  failedRetryMs: number;
}

const pageSize = 500;

/**
 * One watch over both ledgers: whoever stands there without a live job is enqueued again, whatever became of the job (a
 * crash between ledger and queue, a dashboard's delete, a lost write of Redis).
 *
 * @returns how many were enqueued; 0 too when another process watched within the interval
 */
export async function watchLedger(options: WatchLedgerOptions): Promise<number> {
  const { redis, keys, queues, ledger: users, fanoutLedger: fanouts, intervalMs } = options;
  // A little less than the interval, so that a process that comes round just on time is not a whole one late.
  const free = await redis.set(keys.ledgerPart("watch"), "1", "PX", Math.ceil(intervalMs * 0.9), "NX");
  if (free === null) return 0;
  // At low priority: after a long failure they may be very many, and fresh events must not wait behind them.
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

// An event after the failure is owed a refresh whatever came before it.
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
