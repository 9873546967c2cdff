import { setTimeout as delay } from "node:timers/promises";
import { DelayedError, type Job } from "bullmq";
import type { SeenUsers } from "../src/cache/seen-users.ts";
import type { CallOptions } from "../src/kinde/management-api.ts";
import type { Queues, SweepJob } from "../src/queue/queues.ts";
import type { SweepLog } from "../src/queue/sweep-log.ts";
import { beginSweep, type SweepState, type SweepStep } from "../src/refresh/sweep.ts";
import { createWorker, type WorkerDeps } from "./create-worker.ts";

/** What the sweep's worker needs. */
export interface SweepWorkerOptions {
  queues: Queues;
  sweeps: SweepLog;
  seen: Pick<SeenUsers, "forget">;
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

async function sweep(options: SweepWorkerOptions, { now, log, signal }: WorkerDeps, job: Job<SweepJob>): Promise<void> {
  const { queues, sweeps, seen, sweepStep, paceMs, backlog } = options;
  let state = job.data.state ?? beginSweep(await sweeps.nextNumber(), await sweeps.last(), now());
  for (;;) {
    if ((await queues.bulk.getWaitingCount()) > backlog) {
      await job.moveToDelayed(now() + standAsideMs, job.token);
      throw new DelayedError();
    }
    const step = await sweepStep(state, { priority: "bulk", signal });
    await queues.enqueueReprocess(step.refresh);
    state = step.state;
    if (step.done) break;
    await job.updateData({ state });
    await delay(paceMs, undefined, { signal });
  }
  await sweeps.finish(state, now());
  if (state.previous !== null) await seen.forget(state.previous);
  log.info({ ...state, ms: now() - state.startedAt }, "sweep went through");
}
