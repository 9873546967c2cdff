import { setMaxListeners } from "node:events";
import type { AuditQueue } from "../src/audit/audit-log.ts";
import type { Ledger } from "../src/redis/ledger.ts";
import type { Records } from "../src/redis/records.ts";
import type { AcknowledgeUsers } from "../src/refresh/acknowledge-users.ts";
import type { FanOut } from "../src/refresh/fan-out.ts";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import type { RefreshUser } from "../src/refresh/refresh-user.ts";
import type { SweepQueue } from "../src/sweep/queue.ts";
import { type AuditWorkerOptions, createAuditWorker } from "./audit-worker.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";
import { createSweepWorker, type SweepWorkerOptions } from "./sweep-worker.ts";

/** What the workers need. */
export interface StartWorkersOptions
  extends Omit<WorkerDeps, "signal" | "closing">,
    Omit<SweepWorkerOptions, "queues">,
    Omit<AuditWorkerOptions, "queues"> {
  queues: RefreshQueues & SweepQueue & AuditQueue;
  ledger: Ledger;
  fanoutLedger: Ledger;
  records: Pick<Records, "tickets" | "read">;
  refreshUser: RefreshUser;
  fanOut: FanOut;
  acknowledge: AcknowledgeUsers;
  concurrency: { refresh: number; bulk: number };
}

/** The workers of one process. */
export interface Workers {
  /** Takes no more jobs, lets those in hand finish for so long, then aborts them and hands them back. */
  close(graceMs: number): Promise<void>;
}

/** Starts the workers. */
export function startWorkers(options: StartWorkersOptions): Workers {
  const [closing, stopping] = [new AbortController(), new AbortController()];
  // Every call under way listens to it: many at once are no leak.
  setMaxListeners(0, stopping.signal);
  const deps = { ...options, closing: closing.signal, signal: stopping.signal };
  const workers = [
    refreshWorker(options, deps),
    bulkWorker(options, deps),
    fanoutWorker(options, deps),
    createSweepWorker(options, deps),
    createAuditWorker(options, deps),
  ];
  return {
    async close(graceMs) {
      closing.abort();
      const timer = setTimeout(() => stopping.abort(new Error("shutting down")), graceMs);
      await Promise.all(workers.map((worker) => worker.close()));
      clearTimeout(timer);
      stopping.abort();
    },
  };
}

function refreshWorker(
  { queues, ledger: users, records, refreshUser, concurrency }: StartWorkersOptions,
  deps: WorkerDeps,
) {
  return createWorker(deps, {
    queue: queues.refresh,
    concurrency: concurrency.refresh,
    ledger: users,
    member: ({ userId }) => userId,
    async process({ data }) {
      // An event that a refresh reflects by now needs no other: least of all one that could find a deleted user again.
      if (data.owed && (await users.entry(data.userId)) === undefined) return;
      if (await isFresh(records, data)) return;
      await refreshUser(data.userId, { priority: "webhook", signal: deps.signal });
    },
  });
}

function bulkWorker(
  { queues, ledger: users, records, refreshUser, concurrency }: StartWorkersOptions,
  deps: WorkerDeps,
) {
  return createWorker(deps, {
    queue: queues.bulk,
    concurrency: concurrency.bulk,
    ledger: users,
    member: ({ userId }) => userId,
    async process({ data }) {
      if (await isFresh(records, data)) return;
      const [ticket = 0] = await records.tickets([data.userId]);
      // Later events may have joined this job while it waited: only the ledger knows whether they are reflected too.
      const reflected = data.since !== undefined && ticket >= data.since;
      if (reflected && (await users.settle(data.userId, ticket)) === "settled") return;
      await refreshUser(data.userId, { priority: "bulk", signal: deps.signal });
    },
  });
}

/** Whether a reader's wish has come true meanwhile. */
async function isFresh(
  records: Pick<Records, "read">,
  { userId, freshSince }: { userId: string; freshSince?: number },
): Promise<boolean> {
  if (freshSince === undefined) return false;
  const { flags } = await records.read(userId);
  return flags !== undefined && (flags.status === "deleted" || flags.fetchedAt >= freshSince);
}

function fanoutWorker({ queues, fanoutLedger: fanouts, fanOut, acknowledge }: StartWorkersOptions, deps: WorkerDeps) {
  return createWorker(deps, {
    queue: queues.fanout,
    concurrency: 1,
    ledger: fanouts,
    member: ({ subject }) => subject,
    async process(job) {
      const { subject } = job.data;
      let progress = job.data.progress;
      const ticket = progress?.ticket ?? (await fanouts.begin(subject)).ticket;
      const since = (await fanouts.entry(subject))?.since;
      // Reflected by now, and only the job outlived it.
      if (since === undefined && progress === undefined) return;
      for (;;) {
        const page = await fanOut(subject, progress, { priority: "webhook", signal: deps.signal });
        await acknowledge(page.userIds, since);
        if (page.next === undefined) break;
        progress = { ...page.next, ticket };
        await job.updateData({ subject, progress, forgiven: job.attemptsMade });
        await handBackIfClosing(deps, job);
      }
      // What came while this one waited to go on joined it too late for the pages already done.
      if ((await fanouts.settle(subject, ticket)) === "pending") await queues.enqueueFanouts([subject]);
    },
  });
}
