import { type JobsOptions, Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { AuditState } from "../audit/audit.ts";
import type { SweepState } from "../sweep/sweep.ts";
import type { FanoutSubject } from "../webhook/route-event.ts";
import type { Keys } from "./keys.ts";

/** Refresh one user, now: somebody waits for it. */
export interface RefreshJob {
  userId: string;
  /** For an event: done as soon as the ledger owes the user nothing. Absent: to be done in any case. */
  owed?: boolean;
  /** For a reader: a record that stems from a fetch begun then or later will do. Milliseconds since the epoch. */
  freshSince?: number;
}

/** Refresh one user when there is room. */
export interface BulkJob {
  userId: string;
  /** Number of the event that asks for it: a record with a later ticket needs nothing more. Absent: in any case. */
  since?: number;
  /** As of a {@link RefreshJob}. */
  freshSince?: number;
}

/** A job that keeps how far it has come. */
export interface LongJob {
  /** Failed attempts before it last got further: they count no more against the job. */
  forgiven?: number;
}

/** Look up the users a subject concerns, page by page, and have each refreshed. */
export interface FanoutJob extends LongJob {
  subject: FanoutSubject;
  /** Where to go on after an interruption; absent at the start. */
  progress?: FanoutProgress;
}

/** The pages already done: of which source, and the cursor of the next one. */
export interface FanoutProgress {
  ticket: number;
  source: "listing" | "records";
  cursor: string | null;
}

/** `tick`: it is time for a sweep. `sweep`: one, with how far it has come. */
export interface SweepJob extends LongJob {
  state?: SweepState;
}

/** `tick`: it is time for an audit. `audit`: one, with how far it has come. */
export interface AuditJob extends LongJob {
  state?: AuditState;
}

/** The queues, and the only ways to put something into them. */
export interface Queues {
  /** To be waited for once: a queue whose first look at Redis fails never recovers. */
  ready(): Promise<void>;
  refresh: Queue<RefreshJob>;
  bulk: Queue<BulkJob>;
  fanout: Queue<FanoutJob>;
  sweep: Queue<SweepJob>;
  audit: Queue<AuditJob>;
  /** A user who waits already is not added twice; one being fetched is fetched once more; a waiting retry is pulled forward. */
  enqueueRefreshes(refreshes: readonly (RefreshJob & { delayMs: number })[]): Promise<void>;
  /** After so long, whatever happens until then: an event's own refresh meanwhile does not count as this one. */
  enqueueSettled(userId: string, delayMs: number): Promise<void>;
  /** For an event that concerns many. */
  enqueueBulk(userIds: readonly string[], since: number): Promise<void>;
  /** Refreshed whatever their record's age: in `bulk` when there is room, in `refresh` now. */
  enqueueReprocess(userIds: readonly string[], queue?: "refresh" | "bulk"): Promise<void>;
  /** For readers, who would take a record as of `freshSince` too. */
  enqueueRefreshRequests(
    wishes: readonly { userId: string; freshSince: number }[],
    queue: "refresh" | "bulk",
  ): Promise<void>;
  enqueueFanouts(subjects: readonly FanoutSubject[]): Promise<void>;
  /** One sweep at a time in the fleet: nothing happens while one is waiting or under way. */
  enqueueSweep(): Promise<void>;
  /** Likewise for audits. */
  enqueueAudit(): Promise<void>;
  close(): Promise<void>;
}

/** What the queues need. */
export interface QueuesOptions {
  redis: Redis;
  keys: Keys;
  onError: (error: Error) => void;
}

/** The queues, over a connection whose commands end in bounded time. */
export function createQueues({ redis, keys, onError }: QueuesOptions): Queues {
  const open = <Data>(name: string) => {
    const queue = new Queue<Data>(name, {
      connection: redis,
      prefix: keys.queues,
      defaultJobOptions: {
        // The workers say when a job gives up.
        attempts: 1_000_000,
        backoff: { type: "custom" },
      },
      streams: { events: { maxLen: 1_000 } },
    });
    queue.on("error", onError);
    return queue;
  };
  const refresh = open<RefreshJob>("refresh");
  const bulk = open<BulkJob>("bulk");
  const fanout = open<FanoutJob>("fanout");
  const sweep = open<SweepJob>("sweep");
  const audit = open<AuditJob>("audit");
  return {
    refresh,
    bulk,
    fanout,
    sweep,
    audit,
    async ready() {
      await Promise.all([refresh, bulk, fanout, sweep, audit].map((queue) => queue.waitUntilReady()));
    },
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
      // An id of its own: an event must not pull it forward, nor be put off by it.
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
      // Not the id the jobs above go by: joining one of them, this could be taken for done already.
      await { refresh, bulk }[name].addBulk(
        userIds.map((userId) => ({ name: "reprocess", data: { userId }, opts: untilLatest(reprocessId(userId)) })),
      );
    },
    async enqueueRefreshRequests(wishes, name) {
      if (wishes.length === 0) return;
      await { refresh, bulk }[name].addBulk(
        wishes.map((data) => ({ name: "wish", data, opts: untilLatest(refreshRequestId(data.userId)) })),
      );
    },
    async enqueueFanouts(subjects) {
      if (subjects.length === 0) return;
      await fanout.addBulk(
        subjects.map((subject) => ({ name: "fanout", data: { subject }, opts: untilLatest(subject) })),
      );
    },
    async enqueueSweep() {
      await sweep.add("sweep", {}, { deduplication: { id: "sweep" } });
    },
    async enqueueAudit() {
      await audit.add("audit", {}, { deduplication: { id: "audit" } });
    },
    async close() {
      await Promise.all([refresh.close(), bulk.close(), fanout.close(), sweep.close(), audit.close()]);
    },
  };
}

/** What an operator's refresh of a user is deduplicated by. */
export function reprocessId(userId: string): string {
  return `reprocess:${userId}`;
}

/** What the refresh of a user for a reader is deduplicated by. */
export function refreshRequestId(userId: string): string {
  return `wish:${userId}`;
}

/** What the refresh of a user after a write of ours is deduplicated by. */
export function settledId(userId: string): string {
  return `settle:${userId}`;
}

// BullMQ's other deduplication modes would drop an event that arrives while its user is being fetched.
function untilLatest(id: string): JobsOptions {
  return { deduplication: { id, keepLastIfActive: true, reschedule: true } };
}
