import { setTimeout as delay } from "node:timers/promises";
import type { Queue } from "bullmq";
import type { ReportProgress } from "../progress.ts";
import { type LongJob, openQueue, type QueueOptions, untilLatest } from "../redis/queue.ts";

/** Refresh one user now: somebody waits for it. */
export interface RefreshJob {
  userId: string;
  /** For an event: done as soon as the ledger no longer holds the user. Absent: done in any case. */
  owed?: boolean;
  /** For a reader: a record from a fetch that began then or later is enough. Milliseconds since the epoch. */
  freshSince?: number;
}

/** Refresh one user when there is room. */
export interface BulkJob {
  userId: string;
  /** Number of the event that asks for it: a record with a later ticket needs nothing more. Absent: done in any case. */
  since?: number;
  /** As in {@link RefreshJob}. */
  freshSince?: number;
}

/** What a fan-out looks up the users of: a kind, and Kinde's id of the organization, role or permission. */
export type FanoutSubject = `${"organization" | "role" | "permission"}:${string}`;

/** Look up the users a subject concerns, page by page, and have each refreshed. */
export interface FanoutJob extends LongJob {
  subject: FanoutSubject;
  /** Where to continue after an interruption; absent at the start. */
  progress?: FanoutProgress;
}

/** The pages already done: of which source, and the cursor of the next one. */
export interface FanoutProgress {
  ticket: number;
  source: "listing" | "records";
  cursor: string | null;
}

/** The queues that refresh users, and the only ways to add to them. */
export interface RefreshQueues {
  refresh: Queue<RefreshJob>;
  bulk: Queue<BulkJob>;
  fanout: Queue<FanoutJob>;
  /** For events. A waiting user is not added twice; one being fetched is fetched again; a waiting retry is pulled forward. */
  enqueueRefreshes(refreshes: readonly (RefreshJob & { delayMs: number })[]): Promise<void>;
  /** Refreshes the user after the delay, whatever happens until then: an event's refresh does not replace this one. */
  enqueueSettled(userId: string, delayMs: number): Promise<void>;
  /** For an event that concerns many users. */
  enqueueBulk(userIds: readonly string[], since: number): Promise<void>;
  /** Refreshes users whatever their record's age: in `bulk` when there is room, in `refresh` now. */
  enqueueReprocess(userIds: readonly string[], queue?: "refresh" | "bulk"): Promise<void>;
  /** For readers, who also accept a record as of `freshSince`. */
  enqueueRefreshRequests(
    requests: readonly { userId: string; freshSince: number }[],
    queue: "refresh" | "bulk",
  ): Promise<void>;
  enqueueFanouts(subjects: readonly FanoutSubject[]): Promise<void>;
  /** Users being refreshed right now in any process of the fleet. */
  usersInHand(): Promise<string[]>;
}

/** Opens the refresh queues. */
export function createRefreshQueues(options: QueueOptions): RefreshQueues {
  const refresh = openQueue<RefreshJob>("refresh", options);
  const bulk = openQueue<BulkJob>("bulk", options);
  const fanout = openQueue<FanoutJob>("fanout", options);
  return {
    refresh,
    bulk,
    fanout,
    async enqueueRefreshes(refreshes) {
      if (refreshes.length === 0) return;
      await refresh.addBulk(
        refreshes.map(({ delayMs, userId, ...data }) => ({
          name: "refresh",
          data: { userId, ...data },
          opts: { delay: delayMs, ...untilLatest(userId) },
        })),
      );
    },
    async enqueueSettled(userId, delayMs) {
      // An id of its own: an event must neither pull it forward nor postpone it.
      await refresh.add("settle", { userId }, { delay: delayMs, ...untilLatest(settledId(userId)) });
    },
    async enqueueBulk(userIds, since) {
      if (userIds.length === 0) return;
      await bulk.addBulk(
        userIds.map((userId) => ({ name: "refresh", data: { userId, since }, opts: untilLatest(userId) })),
      );
    },
    async enqueueReprocess(userIds, name = "bulk") {
      if (userIds.length === 0) return;
      // Not the id of the jobs above: joining one of them, this could be taken for done already.
      await { refresh, bulk }[name].addBulk(
        userIds.map((userId) => ({ name: "reprocess", data: { userId }, opts: untilLatest(reprocessId(userId)) })),
      );
    },
    async enqueueRefreshRequests(requests, name) {
      if (requests.length === 0) return;
      await { refresh, bulk }[name].addBulk(
        requests.map((data) => ({ name: "request", data, opts: untilLatest(refreshRequestId(data.userId)) })),
      );
    },
    async enqueueFanouts(subjects) {
      if (subjects.length === 0) return;
      await fanout.addBulk(
        subjects.map((subject) => ({ name: "fanout", data: { subject }, opts: untilLatest(subject) })),
      );
    },
    async usersInHand() {
      const jobs = await Promise.all([refresh.getActive(), bulk.getActive()]);
      return [...new Set(jobs.flat().map(({ data }) => data.userId))];
    },
  };
}

/** Deduplication id of an operator's refresh of a user. */
export function reprocessId(userId: string): string {
  return `reprocess:${userId}`;
}

/** Deduplication id of a user's refresh for a reader. */
export function refreshRequestId(userId: string): string {
  return `request:${userId}`;
}

/** Deduplication id of a user's refresh after a write of ours. */
export function settledId(userId: string): string {
  return `settle:${userId}`;
}

/** Options for {@link roomInQueue}. */
export interface RoomInQueueOptions {
  queues: Pick<RefreshQueues, "bulk">;
  /** Jobs that may wait in the bulk queue: Redis need not hold a job for every user. */
  backlog: number;
  onProgress: ReportProgress;
  signal: AbortSignal;
}

const roomCheckMs = 500;

/**
 * Waits until the bulk queue has room.
 *
 * @throws the signal's reason once it is aborted
 */
export async function roomInQueue({ queues, backlog, onProgress, signal }: RoomInQueueOptions): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { waiting = 0, delayed = 0 } = await queues.bulk.getJobCounts("waiting", "delayed");
    if (waiting + delayed < backlog) return;
    onProgress({ type: "waiting", for: "workers", ms: roomCheckMs });
    await delay(roomCheckMs, undefined, { signal }).catch(() => undefined);
  }
}
