import { setMaxListeners } from "node:events";
import type { PushQueue } from "../src/push/queues.ts";
import { type AuditWorkerOptions, createAuditWorker } from "./audit-worker.ts";
import type { WorkerDeps } from "./create-worker.ts";
import { createFanoutWorker, type FanoutWorkerOptions } from "./fanout-worker.ts";
import { createPushWorker, type PushWorkerOptions } from "./push-worker.ts";
import {
  createBulkWorker,
  createConfirmWorker,
  createRefreshWorker,
  createRequestWorker,
  type RefreshWorkerOptions,
} from "./refresh-worker.ts";
import { createSweepWorker, type SweepWorkerOptions } from "./sweep-worker.ts";

/** Dependencies of {@link startWorkers}. */
export interface StartWorkersOptions
  extends Omit<WorkerDeps, "signal" | "closing">,
    Omit<RefreshWorkerOptions, "queues">,
    Omit<FanoutWorkerOptions, "queues">,
    Omit<SweepWorkerOptions, "queues">,
    Omit<AuditWorkerOptions, "queues"> {
  queues: RefreshWorkerOptions["queues"] &
    FanoutWorkerOptions["queues"] &
    SweepWorkerOptions["queues"] &
    AuditWorkerOptions["queues"] & { pushes: readonly PushQueue[] };
  push: Omit<PushWorkerOptions, "push">;
}

/** The workers of one process. */
export interface Workers {
  /** Stops taking jobs, waits up to `graceMs` for active jobs, then aborts them and returns them to their queues. */
  close(graceMs: number): Promise<void>;
}

/** Starts the workers. */
export function startWorkers(options: StartWorkersOptions): Workers {
  const { connection, prefix, retry, now, log } = options;
  const closing = new AbortController();
  const stopping = new AbortController();
  // Every active call listens to this signal, so a high listener count is not a leak.
  setMaxListeners(0, stopping.signal);
  const deps: WorkerDeps = { connection, prefix, retry, now, log, closing: closing.signal, signal: stopping.signal };
  const workers = [
    createRefreshWorker(options, deps),
    createBulkWorker(options, deps),
    createConfirmWorker(options, deps),
    createRequestWorker(options, deps),
    createFanoutWorker(options, deps),
    createSweepWorker(options, deps),
    createAuditWorker(options, deps),
    ...options.queues.pushes.map((push) => createPushWorker({ ...options.push, push }, deps)),
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
