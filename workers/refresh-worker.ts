import type { RefreshCause } from "../src/redis/activity.ts";
import type { Ledger } from "../src/redis/ledger.ts";
import type { Records } from "../src/redis/records.ts";
import type { BulkJob, RefreshJob, RefreshQueues, RequestJob } from "../src/refresh/queues.ts";
import type { RefreshUser } from "../src/refresh/refresh-user.ts";
import { createWorker, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of the workers that refresh single users. */
export interface RefreshWorkerOptions {
  queues: Pick<RefreshQueues, "refresh" | "bulk" | "requests">;
  ledger: Ledger;
  records: Pick<Records, "tickets" | "read">;
  refreshUser: RefreshUser;
  concurrency: { refresh: number; bulk: number; requests: number };
}

const causes: Readonly<Record<string, RefreshCause>> = {
  settle: "write",
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
    async process({ name, data }) {
      // Skips an event that another refresh has reflected: a fetch now could revive a deleted user.
      if (data.owed && (await ledger.entry(data.userId)) === undefined) return;
      await refreshUser(data.userId, {
        priority: "webhook",
        cause: causeOf(name, "event"),
        signal: deps.signal,
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
    async process({ name, data }) {
      const [ticket = 0] = await records.tickets([data.userId]);
      // Later events can have joined this job while it waited. Only the ledger knows whether they are reflected too.
      const reflected = data.since !== undefined && ticket >= data.since;
      if (reflected && (await ledger.settle(data.userId, ticket)) === "settled") return;
      await refreshUser(data.userId, { priority: "bulk", cause: causeOf(name, "fanout"), signal: deps.signal });
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
      async process({ data: { userId, freshSince } }) {
        const { flags } = await records.read(userId);
        if (flags !== undefined && (flags.status === "deleted" || flags.fetchedAt >= freshSince)) return;
        await refreshUser(userId, { priority: "request", cause: "request", signal: deps.signal });
      },
    },
  );
}
