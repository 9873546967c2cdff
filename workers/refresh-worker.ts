import type { RefreshCause } from "../src/redis/activity.ts";
import type { Ledger } from "../src/redis/ledger.ts";
import type { Records } from "../src/redis/records.ts";
import type { BulkJob, ConfirmJob, RefreshJob, RefreshQueues, RequestJob } from "../src/refresh/queues.ts";
import type { RefreshUser } from "../src/refresh/refresh-user.ts";
import { createWorker, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of the workers that refresh single users. */
export interface RefreshWorkerOptions {
  queues: Pick<RefreshQueues, "refresh" | "bulk" | "requests" | "confirm" | "demands" | "enqueueConfirm">;
  ledger: Ledger;
  records: Pick<Records, "tickets" | "stamps" | "read">;
  refreshUser: RefreshUser;
  concurrency: { refresh: number; bulk: number; requests: number };
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
    async process({ name, data }, onTicket) {
      const [ticket = 0] = await records.tickets([data.userId]);
      // Later events can have joined this job while it waited. Only the ledger knows whether they are reflected too.
      const reflected = data.since !== undefined && ticket >= data.since;
      if (reflected) {
        const { pending, confirmInMs } = await ledger.settle(data.userId, ticket);
        if (confirmInMs !== undefined) await queues.enqueueConfirm(data.userId, confirmInMs);
        if (!pending) return;
      }
      await refreshUser(data.userId, {
        priority: "bulk",
        cause: causeOf(name, "fanout"),
        signal: deps.signal,
        onTicket,
      });
    },
  });
}

/** Creates the worker that refreshes users again after the settle time. */
export function createConfirmWorker(options: RefreshWorkerOptions, deps: WorkerDeps) {
  const { queues, ledger, refreshUser, concurrency } = options;
  return createWorker<ConfirmJob>(deps, {
    queue: queues.confirm,
    concurrency: concurrency.bulk,
    ledger,
    member: ({ userId }) => userId,
    async process({ data: { userId } }, onTicket) {
      const dueInMs = await ledger.confirmInMs(userId);
      // Another refresh confirmed the user.
      if (dueInMs === undefined) return;
      // The clock of the process that promoted the job is ahead of Redis' clock.
      if (dueInMs > 0) return queues.enqueueConfirm(userId, dueInMs);
      await refreshUser(userId, { priority: "bulk", cause: "confirm", signal: deps.signal, onTicket });
    },
  });
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
      async process({ name, data }) {
        if (await isFresh(options, data)) return;
        await refreshUser(data.userId, {
          priority: "request",
          cause: causeOf(name, "request"),
          signal: deps.signal,
        });
        const { flags } = await records.read(data.userId);
        if (flags !== undefined) await queues.demands.satisfy(data.userId, flags.fetchedAt);
      },
    },
  );
}

/** Returns whether the record satisfies a refresh request and all that joined it. */
async function isFresh(
  { queues, records, ledger }: RefreshWorkerOptions,
  { userId, freshSince }: RequestJob,
): Promise<boolean> {
  const [{ flags }, demanded, now] = await Promise.all([
    records.read(userId),
    queues.demands.strictest(userId),
    ledger.clock(),
  ]);
  if (flags === undefined) return false;
  const deleted = flags.status === "deleted";
  // A fetch ahead of the clock was stamped by a clock that was wrong.
  const fresh = deleted || (flags.fetchedAt >= Math.max(freshSince, demanded) && flags.fetchedAt <= now);
  if (fresh) await queues.demands.satisfy(userId, deleted ? Number.MAX_SAFE_INTEGER : flags.fetchedAt);
  return fresh;
}
