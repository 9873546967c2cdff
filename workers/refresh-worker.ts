import type { Job, Queue } from "bullmq";
import { accountTime } from "kindling/contract";
import { ThrottledError } from "../src/errors.ts";
import { withDeadline } from "../src/kinde/request.ts";
import type { RefreshCause } from "../src/redis/activity.ts";
import type { Ledger } from "../src/redis/ledger.ts";
import type { Records } from "../src/redis/records.ts";
import {
  type BulkJob,
  type RefreshJob,
  type RefreshQueues,
  type RequestJob,
  type UsersOfJob,
  usersOf,
} from "../src/refresh/queues.ts";
import type { RefreshUser } from "../src/refresh/refresh-user.ts";
import type { SweepDelayPeaks } from "../src/sweep/pace.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of the workers that refresh single users. */
export interface RefreshWorkerOptions {
  queues: Pick<RefreshQueues, "refresh" | "bulk" | "requests" | "confirm" | "demands" | "enqueueConfirm">;
  ledger: Ledger;
  records: Pick<Records, "stamps" | "read">;
  refreshUser: RefreshUser;
  concurrency: { refresh: number; bulk: number; requests: number };
  delays: SweepDelayPeaks;
}

/** Notes how long a user has waited since a sweep found a difference. Retries say nothing about other users. */
function noteDelay({ delays }: RefreshWorkerOptions, { now }: WorkerDeps, job: Job): void {
  if (job.name === "sweep" && job.attemptsMade === 0) delays.fetch.note(now() - job.timestamp);
}

const causes: Readonly<Record<string, RefreshCause>> = {
  sweep: "sweep",
  audit: "audit",
  absence: "absence",
  reprocess: "reprocess",
};

/** Returns the cause that a job's name states; the queue's usual one for other jobs. */
function causeOf(name: string, usual: RefreshCause): RefreshCause {
  return Object.hasOwn(causes, name) ? (causes[name] ?? usual) : usual;
}

/** Creates the worker that refreshes users for events and writes. */
export function createRefreshWorker(options: RefreshWorkerOptions, deps: WorkerDeps) {
  const { queues, ledger, refreshUser, concurrency } = options;
  return createWorker<RefreshJob>(deps, {
    queue: queues.refresh,
    concurrency: concurrency.refresh,
    ledger,
    member: ({ userId }) => userId,
    async process({ name, data }, onTicket) {
      await refreshUser(data.userId, {
        priority: "webhook",
        cause: causeOf(name, "event"),
        owed: data.owed === true,
        signal: deps.signal,
        onTicket,
      });
    },
  });
}

/** Creates the worker that refreshes users when the call budget allows it. */
export function createBulkWorker(options: RefreshWorkerOptions, deps: WorkerDeps) {
  const { queues, ledger, records, refreshUser, concurrency } = options;
  return createWorker<BulkJob>(deps, {
    queue: queues.bulk,
    concurrency: concurrency.bulk,
    ledger,
    member: ({ userId }) => userId,
    async process(job, onTicket) {
      const { name, data } = job;
      if (name === "sweep") await takeOneAlong(queues.bulk);
      const [stamp] = await records.stamps([data.userId]);
      // Later events can have joined this job while it waited. Only the ledger knows whether they are reflected too.
      if (stamp !== undefined && data.since !== undefined && stamp.ticket >= data.since) {
        // When the record was fetched decides whether it must be confirmed.
        const { pending } = await ledger.settle(data.userId, stamp.ticket, { at: stamp.accountAt * 1000 });
        if (!pending) return;
      }
      await refreshUser(data.userId, {
        priority: "bulk",
        cause: causeOf(name, "fanout"),
        // Of an event's job, the ledger knows what it concerns.
        keep: data.keep === true || data.since !== undefined,
        signal: deps.signal,
        onTicket,
      });
      noteDelay(options, deps, job);
    },
  });
}

/**
 * Moves one job of a fan-out or an operator to the front, for each user that a sweep found. Otherwise a sweep that finds
 * many would stop them: jobs with a priority number run when no others wait.
 */
async function takeOneAlong(bulk: Queue<BulkJob>): Promise<void> {
  const [oldest] = await bulk.getPrioritized(0, 0);
  // Fails if another worker has taken the job and finished it meanwhile. If Redis is away, the refresh fails, too.
  await oldest?.changePriority({ priority: 0, lifo: true }).catch(() => undefined);
}

/** Longest time that one of several users of a job takes, in milliseconds: users of many organizations take minutes. */
const longestShareMs = 10_000;

/**
 * Creates the worker that refreshes users again after the settle time, several in one job, one after the other. A user who
 * fails or takes long gets a job of their own, with its attempts. So do all of a job that crashed its worker, because of one
 * of them.
 */
export function createConfirmWorker(options: RefreshWorkerOptions, deps: WorkerDeps, shareMs = longestShareMs) {
  const { queues, ledger, refreshUser, concurrency } = options;
  return createWorker<UsersOfJob>(deps, {
    queue: queues.confirm,
    concurrency: concurrency.bulk,
    ledger,
    member: (data) => usersOf(data)[0] ?? "",
    async process(job, onTicket) {
      const userIds = usersOf(job.data);
      const ended: string[] = [];
      const confirm = async (userId: string, signal: AbortSignal) => {
        const call = { priority: "bulk", signal } as const;
        const { outcome } = await refreshUser(userId, { ...call, cause: "confirm", confirming: true, onTicket });
        // An absent user stays noted, and is not taken again at once.
        if (outcome !== "absent") ended.push(userId);
      };
      const [first, ...others] = userIds;
      if (first !== undefined && others.length === 0) await confirm(first, deps.signal);
      else {
        for (const userId of userIds) {
          await handBackIfClosing(deps, job);
          if (job.stalledCounter > 0) await queues.enqueueConfirm([userId]);
          else {
            const share = withDeadline(deps.signal, shareMs, (signal) => confirm(userId, signal));
            await share.catch((error: unknown) => leaveToOwnJob(userId, error));
          }
        }
      }
      await ledger.giveBack(ended);
    },
  });

  function leaveToOwnJob(userId: string, error: unknown): Promise<void> {
    // Everybody's trouble: the job itself waits.
    if (deps.signal.aborted || (error instanceof ThrottledError && error.scope === "all")) throw error;
    return queues.enqueueConfirm([userId]);
  }
}

/**
 * Creates the worker that refreshes users because readers asked, with a budget share of its own. A job is tried once: the
 * next read asks again. It is not owed to anyone, so the ledger does not record its failure.
 */
export function createRequestWorker(options: RefreshWorkerOptions, deps: WorkerDeps) {
  const { queues, records, refreshUser, concurrency } = options;
  return createWorker<RequestJob>(
    { ...deps, retry: { ...deps.retry, attempts: 1 } },
    {
      queue: queues.requests,
      concurrency: concurrency.requests,
      member: ({ userId }) => userId,
      async process(job) {
        const { name, data } = job;
        if (await isFresh(options, data)) return;
        await refreshUser(data.userId, {
          priority: "request",
          cause: causeOf(name, "request"),
          keep: data.keep === true,
          signal: deps.signal,
        });
        noteDelay(options, deps, job);
        if (data.keep) return;
        const { flags } = await records.read(data.userId);
        if (flags !== undefined) await queues.demands.satisfy(data.userId, flags.fetchedAt);
      },
    },
  );
}

/** Returns whether the record satisfies a refresh request and all that joined it. */
async function isFresh(
  { queues, records, ledger }: RefreshWorkerOptions,
  { userId, freshSince, keep }: RequestJob,
): Promise<boolean> {
  const [{ flags }, demanded, now] = await Promise.all([
    records.read(userId),
    queues.demands.strictest(userId),
    ledger.clock(),
  ]);
  if (flags === undefined) return false;
  const deleted = flags.status === "deleted";
  const fetchedAt = keep ? accountTime(flags) : flags.fetchedAt;
  // A fetch ahead of the clock was stamped by a clock that was wrong.
  const fresh = deleted || (fetchedAt >= (keep ? freshSince : Math.max(freshSince, demanded)) && fetchedAt <= now);
  if (fresh && !keep) await queues.demands.satisfy(userId, deleted ? Number.MAX_SAFE_INTEGER : flags.fetchedAt);
  return fresh;
}
