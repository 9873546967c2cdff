import { setTimeout as delay } from "node:timers/promises";
import { DelayedError, type Job } from "bullmq";
import type { CallOptions } from "../src/kinde/management-api.ts";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import type { SweepJob, SweepQueue } from "../src/sweep/queue.ts";
import type { SeenUsers } from "../src/sweep/seen-users.ts";
import { beginSweep, type SweepState, type SweepStep } from "../src/sweep/sweep.ts";
import type { Completeness, SweepLog } from "../src/sweep/sweep-log.ts";
import { noteSweep } from "../src/sweep/sweep-log.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** What the sweep's worker needs. */
export interface SweepWorkerOptions {
  queues: Pick<RefreshQueues, "bulk" | "enqueueReprocess"> & SweepQueue;
  sweeps: SweepLog;
  seen: Pick<SeenUsers, "forget">;
  completeness: Completeness;
  sweepStep: (state: SweepState, call: CallOptions) => Promise<SweepStep>;
  /** Least time between two pages, in milliseconds. */
  paceMs: number;
  /** The sweep stands aside while more refreshes than this wait in the bulk queue. */
  backlog: number;
}

/** How long a sweep stands aside when the bulk queue is full. */
const standAsideMs = 5_000;

/** The worker that sweeps: page by page, the state kept in the job, so that any other process can go on. */
export function createSweepWorker(options: SweepWorkerOptions, deps: WorkerDeps) {
  const { queues } = options;
  return createWorker<SweepJob>(deps, {
    queue: queues.sweep,
    // One for the sweep under way, one for the ticks meanwhile.
    concurrency: 2,
    member: () => "sweep",
    async process(job) {
      if (job.name === "tick") await queues.enqueueSweep();
      else await sweep(options, deps, job);
    },
  });
}

async function sweep(options: SweepWorkerOptions, deps: WorkerDeps, job: Job<SweepJob>): Promise<void> {
  const { now, log, signal, closing } = deps;
  const { queues, sweepStep, paceMs, backlog } = options;
  let state = job.data.state ?? (await begin(options, now()));
  for (;;) {
    if ((await queues.bulk.getWaitingCount()) > backlog) {
      await job.moveToDelayed(now() + standAsideMs, job.token);
      throw new DelayedError();
    }
    const step = await sweepStep(state, { priority: "bulk", signal });
    await queues.enqueueReprocess(step.refresh);
    state = step.state;
    // Throws where the job is gone, with a Redis that was wiped meanwhile: what the sweep has filled is gone as well.
    await job.updateData({ state, forgiven: job.attemptsMade });
    if (step.done) break;
    await delay(paceMs, undefined, { signal: closing }).catch(() => undefined);
    await handBackIfClosing(deps, job);
  }
  await noteSweep(options, state, now());
  log.info({ ...state, ms: now() - state.startedAt }, "sweep went through");
}

async function begin({ sweeps, completeness }: SweepWorkerOptions, now: number): Promise<SweepState> {
  const [number, previous, since] = await Promise.all([sweeps.nextNumber(), sweeps.last(), completeness.since()]);
  return beginSweep({ number, previous, now, fill: since === undefined });
}
