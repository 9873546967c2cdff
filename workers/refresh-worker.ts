import type { Ledger } from "../src/redis/ledger.ts";
import type { Records } from "../src/redis/records.ts";
import type { BulkJob, ConfirmJob, RefreshJob, RefreshQueues } from "../src/refresh/queues.ts";
import type { RefreshUser } from "../src/refresh/refresh-user.ts";
import { createWorker, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of the workers that refresh users. */
export interface RefreshWorkerOptions {
  queues: Pick<RefreshQueues, "refresh" | "bulk" | "confirm" | "enqueueConfirm">;
  ledger: Ledger;
  records: Pick<Records, "tickets" | "read">;
  refreshUser: RefreshUser;
  concurrency: { refresh: number; bulk: number };
}

/** Creates the worker that refreshes users someone is waiting for. */
export function createRefreshWorker(options: RefreshWorkerOptions, deps: WorkerDeps) {
  const { queues, ledger, records, refreshUser, concurrency } = options;
  return createWorker<RefreshJob>(deps, {
    queue: queues.refresh,
    concurrency: concurrency.refresh,
    ledger,
    member: ({ userId }) => userId,
    async process({ data }, onTicket) {
      // Skips an event that another refresh has reflected: a fetch now could revive a deleted user.
      if (data.owed && (await ledger.entry(data.userId)) === undefined) return;
      if (await isFresh(records, data)) return;
      await refreshUser(data.userId, { priority: "webhook", signal: deps.signal, onTicket });
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
    async process({ data }, onTicket) {
      if (await isFresh(records, data)) return;
      const [ticket = 0] = await records.tickets([data.userId]);
      // Later events can have joined this job while it waited. Only the ledger knows whether they are reflected too.
      const reflected = data.since !== undefined && ticket >= data.since;
      if (reflected) {
        const { pending, confirmInMs } = await ledger.settle(data.userId, ticket);
        if (confirmInMs !== undefined) await queues.enqueueConfirm(data.userId, confirmInMs);
        if (!pending) return;
      }
      await refreshUser(data.userId, { priority: "bulk", signal: deps.signal, onTicket });
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
      await refreshUser(userId, { priority: "bulk", signal: deps.signal, onTicket });
    },
  });
}

/** Returns whether a refresh request is already satisfied by the record. */
async function isFresh(
  records: Pick<Records, "read">,
  { userId, freshSince }: Pick<RefreshJob, "userId" | "freshSince">,
): Promise<boolean> {
  if (freshSince === undefined) return false;
  const { flags } = await records.read(userId);
  return flags !== undefined && (flags.status === "deleted" || flags.fetchedAt >= freshSince);
}
