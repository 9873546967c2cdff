import { setTimeout as delay } from "node:timers/promises";
import type { Queue } from "bullmq";
import { z } from "zod";
import { type Trail, trailSchema } from "../kinde/paging.ts";
import type { ReportProgress } from "../progress.ts";
import type { RefreshCause } from "../redis/activity.ts";
import { type LongJob, openQueue, type QueueOptions, untilLatest } from "../redis/queue.ts";
import type { RefreshRequest, Urgency } from "../redis/refresh-requests.ts";
import { storedShape } from "../redis/stored.ts";
import { createDemands, type Demands } from "./demands.ts";

/** A job that refreshes one user now, because someone is waiting for it. */
export interface RefreshJob {
  userId: string;
  /** Set for an event: the job is skipped if the ledger no longer contains the user. */
  owed?: boolean;
}

/**
 * Order of bulk jobs that come in large numbers: fan-outs, and what operators refresh. BullMQ counts jobs with a priority
 * number as `prioritized`, not as `waiting`, and runs them after all others: users that a sweep finds do not wait for them.
 */
const ofMany = { priority: 1 } as const;

/** A job that refreshes one user when the budget allows it. */
export interface BulkJob {
  userId: string;
  /** Ticket of the event that caused the job: it is skipped if the record has a later ticket. */
  since?: number;
  /** Roles, permissions and plans of the record can be kept. */
  keep?: true;
}

/** A job that refreshes users again, because Kinde can have answered from a copy that lags. */
export interface ConfirmJob {
  userIds: readonly string[];
}

/**
 * The subject of a fan-out: its kind and Kinde's id of the organization, role or permission. A change of an organization's
 * `plans` concerns its members only if they differ from those that are known.
 */
export type FanoutSubject = `${"organization" | "plans" | "role" | "permission"}:${string}`;

/** A job that looks up the users a subject affects, page by page, and enqueues a refresh for each. */
export interface FanoutJob extends LongJob {
  subject: FanoutSubject;
  /** Where to continue after an interruption. Absent at the start. */
  progress?: unknown;
}

/** The progress of a fan-out: the source it is reading, and the cursor of the next page. */
export interface FanoutProgress {
  ticket: number;
  /** When the ticket was drawn, in microseconds; absent in progress that an older release wrote. */
  at?: number;
  source: "listing" | "records";
  cursor: string | null;
  /** The Redis process that a cursor of `records` belongs to; absent in progress that an older release wrote. */
  runId?: string;
  /** How often Kinde has refused the cursor of the listing; absent if never. */
  refusals?: number;
  /** Detects a listing that leads in circles; absent as above. */
  trail?: Trail;
}

/** The progress of a fan-out, as its job keeps it. What cannot be read begins again. */
export const storedFanoutProgress = storedShape<FanoutProgress>(
  1,
  z.object({
    ticket: z.number(),
    at: z.number().exactOptional(),
    source: z.enum(["listing", "records"]),
    cursor: z.string().nullable(),
    runId: z.string().exactOptional(),
    refusals: z.int().nonnegative().exactOptional(),
    trail: trailSchema.exactOptional(),
  }),
  { migrate: (older) => older },
);

/** A job that refreshes one user because a reader asked. A record fetched at `freshSince` or later satisfies it. */
export interface RequestJob extends RefreshRequest {
  /** Only account fields and properties must be that recent: roles, permissions and plans of the record can be kept. */
  keep?: true;
}

/** Why users are refreshed regardless of their record. It names the job and is counted. */
export type ReprocessCause = Extract<RefreshCause, "audit" | "absence" | "reprocess">;

/** The queues that refresh users. Add jobs only through these methods, which set the deduplication ids. */
export interface RefreshQueues {
  refresh: Queue<RefreshJob>;
  bulk: Queue<BulkJob>;
  /** Its own queue, so that confirming refreshes neither delay webhooks nor wait behind bulk work. */
  confirm: Queue<UsersOfJob>;
  requests: Queue<RequestJob>;
  fanout: Queue<FanoutJob>;
  /** Adds jobs for events. Deduplicates waiting users, pulls waiting retries forward, and refetches users in progress. */
  enqueueRefreshes(refreshes: readonly (RefreshJob & { delayMs: number; trace?: string | undefined })[]): Promise<void>;
  /** Adds a job that confirms users. One user's own job is a retry: a second one is not added. */
  enqueueConfirm(userIds: readonly string[]): Promise<void>;
  /** Adds jobs for an event that affects many users. They run after those of sweeps and walks. */
  enqueueBulk(userIds: readonly string[], since: number): Promise<void>;
  /**
   * Refreshes users regardless of the age of their record: `refresh` runs now, `bulk` when the budget allows it. What an
   * operator refreshes in bulk runs after what sweeps, walks, checks and audits found.
   */
  enqueueReprocess(userIds: readonly string[], queue?: "refresh" | "bulk", cause?: ReprocessCause): Promise<void>;
  /**
   * Adds jobs for users that a sweep found, and returns their number. The changed ones keep roles, permissions and plans, if
   * recent.
   */
  enqueueSwept(found: { refresh: readonly string[]; changed?: readonly string[] }): Promise<number>;
  /** Adds jobs for refresh requests to a queue of their own, so that readers cannot delay events. `now` goes first. */
  enqueueRefreshRequests(requests: readonly RefreshRequest[], urgency: Urgency): Promise<void>;
  /** Adds jobs for recently active users who were found to differ: to the same queue, as others wait in front of `bulk`. */
  enqueueRecentlyChanged(requests: readonly RefreshRequest[]): Promise<void>;
  demands: Demands;
  enqueueFanouts(subjects: readonly FanoutSubject[]): Promise<void>;
  /** Returns the users that any process is refreshing now. */
  activeUsers(): Promise<string[]>;
}

/** Opens the refresh queues. */
export function createRefreshQueues(options: QueueOptions): RefreshQueues {
  const refresh = openQueue<RefreshJob>("refresh", options);
  const bulk = openQueue<BulkJob>("bulk", options);
  const confirm = openQueue<UsersOfJob>("confirm", options);
  const requests = openQueue<RequestJob>("requests", options);
  const fanout = openQueue<FanoutJob>("fanout", options);
  const demands = createDemands(options);
  return {
    refresh,
    bulk,
    confirm,
    requests,
    fanout,
    demands,
    async enqueueRefreshes(refreshes) {
      if (refreshes.length === 0) return;
      await refresh.addBulk(
        refreshes.map(({ delayMs, trace, userId, ...data }) => ({
          name: "refresh",
          data: { userId, ...data },
          opts: {
            delay: delayMs,
            ...untilLatest(userId),
            ...(trace === undefined ? {} : { telemetry: { metadata: trace } }),
          },
        })),
      );
    },
    async enqueueConfirm(userIds) {
      // A user's own job is a retry. Another one must not pull it forward.
      const [only] = userIds.length === 1 ? userIds : [];
      await confirm.add("confirm", { userIds }, only === undefined ? {} : { deduplication: { id: only } });
    },
    async enqueueBulk(userIds, since) {
      if (userIds.length === 0) return;
      await bulk.addBulk(
        userIds.map((userId) => ({
          name: "refresh",
          data: { userId, since },
          opts: { ...ofMany, ...untilLatest(userId) },
        })),
      );
    },
    async enqueueReprocess(userIds, name = "bulk", cause = "reprocess") {
      if (userIds.length === 0) return;
      const order = name === "bulk" && cause === "reprocess" ? ofMany : {};
      // Has its own id: if it joined one of the jobs above, it could be skipped with it.
      await { refresh, bulk }[name].addBulk(
        userIds.map((userId) => ({
          name: cause,
          data: { userId },
          opts: { ...order, ...untilLatest(reprocessId(userId)) },
        })),
      );
    },
    async enqueueSwept({ refresh: whole, changed = [] }) {
      const jobs = [
        // Has its own id, too: an operator's refresh of the user can wait behind those of many others.
        ...whole.map((userId) => ({ data: { userId }, opts: untilLatest(sweptId(userId)) })),
        ...changed.map((userId) => ({ data: { userId, keep: true as const }, opts: untilLatest(changedId(userId)) })),
      ];
      if (jobs.length > 0) await bulk.addBulk(jobs.map((job) => ({ name: "sweep", ...job })));
      return jobs.length;
    },
    async enqueueRefreshRequests(asked, urgency) {
      if (asked.length === 0) return;
      // Before the jobs: a request can join a job that waits, and its own time would be lost.
      await demands.raise(asked);
      const priority = urgency === "now" ? {} : { priority: 1 };
      await requests.addBulk(
        asked.map((data) => ({
          name: "request",
          data,
          opts: { ...priority, ...untilLatest(refreshRequestId(data.userId, urgency)) },
        })),
      );
    },
    async enqueueRecentlyChanged(found) {
      if (found.length === 0) return;
      await requests.addBulk(
        found.map((request) => ({
          name: "sweep",
          data: { ...request, keep: true as const },
          opts: { priority: 1, ...untilLatest(changedId(request.userId)) },
        })),
      );
    },
    async enqueueFanouts(subjects) {
      if (subjects.length === 0) return;
      await fanout.addBulk(
        subjects.map((subject) => ({
          name: "fanout",
          data: { subject },
          // Events about plans come for many organizations at a time, and rarely concern their members.
          opts: { ...(subject.startsWith("plans:") && ofMany), ...untilLatest(subject) },
        })),
      );
    },
    async activeUsers() {
      const queues = [refresh, bulk, confirm, requests];
      const jobs = await Promise.all(queues.map((queue): Promise<{ data: UsersOfJob }[]> => queue.getActive()));
      return [...new Set(jobs.flat().flatMap(({ data }) => usersOf(data)))];
    },
  };
}

/** Data of a job that refreshes one user, or of one that confirms several. A release before 0.3 confirmed one user a job. */
export type UsersOfJob = { userId: string } | ConfirmJob;

/** Returns the users that a job refreshes. */
export function usersOf(data: UsersOfJob): readonly string[] {
  return "userId" in data ? [data.userId] : data.userIds;
}

/** Returns the deduplication id of an operator's refresh. */
export function reprocessId(userId: string): string {
  return `reprocess:${userId}`;
}

/** Returns the deduplication id of a refresh of everything that a sweep or a walk asked for. */
export function sweptId(userId: string): string {
  return `swept:${userId}`;
}

/** Returns the deduplication id of a refresh that keeps parts of the record: one of everything must not join it. */
export function changedId(userId: string): string {
  return `changed:${userId}`;
}

/** Returns the deduplication id of a refresh request. */
export function refreshRequestId(userId: string, urgency: Urgency): string {
  return `${urgency}:${userId}`;
}

/** Options for {@link roomInQueue}. */
export interface RoomInQueueOptions {
  queues: Pick<RefreshQueues, "bulk">;
  /** How many jobs can wait in the bulk queue, so that Redis does not have to hold a job for every user. */
  backlog: number;
  onProgress: ReportProgress;
  signal: AbortSignal;
}

const roomCheckMs = 500;

/**
 * Waits until the bulk queue is below the backlog limit.
 *
 * @throws the reason of the signal once it is aborted
 */
export async function roomInQueue({ queues, backlog, onProgress, signal }: RoomInQueueOptions): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const {
      waiting = 0,
      prioritized = 0,
      delayed = 0,
    } = await queues.bulk.getJobCounts("waiting", "prioritized", "delayed");
    if (waiting + prioritized + delayed < backlog) return;
    onProgress({ type: "waiting", for: "workers", ms: roomCheckMs });
    await delay(roomCheckMs, undefined, { signal }).catch(() => undefined);
  }
}
