import { setTimeout as delay } from "node:timers/promises";
import { DelayedError, type Job } from "bullmq";
import type { CallOptions } from "../src/kinde/management-api.ts";
import type { Completeness } from "../src/sweep/completeness.ts";
import type { IndexLag } from "../src/sweep/index-lag.ts";
import type { ListedUsers } from "../src/sweep/listed-users.ts";
import { expectedCalls, type SweepDelayPeaks, slotMs } from "../src/sweep/pace.ts";
import type { SweepJob, SweepQueue } from "../src/sweep/queue.ts";
import { scheduleNext } from "../src/sweep/schedule.ts";
import type { SeenUsers } from "../src/sweep/seen-users.ts";
import { storedSweep } from "../src/sweep/stored-sweep.ts";
import type { SweepStep } from "../src/sweep/sweep.ts";
import type { SweepLog } from "../src/sweep/sweep-log.ts";
import { noteSweep } from "../src/sweep/sweep-log.ts";
import { type Aged, beginSweep, type SweepState } from "../src/sweep/sweep-state.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";
import { checkRecentUsers, type RecentJobOptions } from "./recent-job.ts";
import { runWalks, type WalkJobOptions } from "./walk-job.ts";

/** Dependencies of {@link createSweepWorker}. */
export interface SweepWorkerOptions extends WalkJobOptions, RecentJobOptions {
  queues: RecentJobOptions["queues"] & WalkJobOptions["queues"] & SweepQueue;
  sweeps: SweepLog;
  seen: Pick<SeenUsers, "begin" | "forget">;
  listed: Pick<ListedUsers, "forget">;
  completeness: Completeness;
  indexLag: IndexLag;
  /** Returns whose parts that the search does not show are refreshed by age, because no walk compares them. */
  readAged: () => Promise<Aged>;
  sweepStep: (state: SweepState, call: CallOptions) => Promise<SweepStep>;
  delays: SweepDelayPeaks;
  /** Minimum pause between two pages, in milliseconds. */
  paceMs: number;
  /** The sweep pauses while more jobs than this wait in the bulk queue. Those of fan-outs and operators do not count. */
  backlog: number;
}

/** Pause of a sweep while the bulk queue is full. */
const backlogPauseMs = 5_000;

/** Creates the sweep worker. Each page saves the state in the job, so that any process can resume the sweep. */
export function createSweepWorker(options: SweepWorkerOptions, deps: WorkerDeps) {
  const { queues } = options;
  return createWorker<SweepJob>(deps, {
    queue: queues.sweep,
    // One slot for the running sweep, one for the walks, one for recently active users, one for ticks.
    concurrency: 4,
    member: () => "sweep",
    async process(job) {
      if (job.name === "tick")
        await Promise.all([queues.enqueueSweep({ ...job.data, paced: true }), queues.enqueueWalks()]);
      else if (job.name === "walks") await runWalks(options, deps, job);
      else if (job.name === "recent") await checkRecentUsers(options, deps, job);
      else await sweep(options, deps, job);
    },
  });
}

async function sweep(options: SweepWorkerOptions, deps: WorkerDeps, job: Job<SweepJob>): Promise<void> {
  const { now, log, signal, closing } = deps;
  const { queues, sweepStep, paceMs, backlog, sweeps, pace, delays } = options;
  const { paced = false, dueAt } = job.data;
  const slot = paced ? await plannedSlot(options) : 0;
  // Throws if the job is gone: a Redis that was wiped has lost the records of earlier pages too.
  const save = async (reached: SweepState) => {
    const stored = storedSweep.versioned(reached);
    await job.updateData({ state: stored, forgiven: job.attemptsMade, paced, ...(dueAt !== undefined && { dueAt }) });
  };
  let state = storedSweep.parse(job.data.state);
  if (state === undefined) {
    if (job.data.state !== undefined)
      log.warn({ job: job.id }, "sweep restarts: this release cannot read its progress");
    state = await begin(options, now());
    // Before it waits for anything: each beginning deletes what one of the last sweeps, or a backfill, has seen.
    await save(state);
  }
  for (;;) {
    if ((await queues.bulk.getWaitingCount()) > backlog) {
      await job.moveToDelayed(now() + backlogPauseMs, job.token);
      throw new DelayedError();
    }
    const planned = Math.min(dueAt ?? state.startedAt, state.startedAt) + state.calls * slot;
    if (slot > 0) state = { ...state, lateMs: Math.max(state.lateMs, now() - planned) };
    const step = await sweepStep(state, { priority: "bulk", signal });
    await queues.enqueueSwept(step);
    state = step.state;
    await save(state);
    if (step.done) break;
    if (step.waitMs !== undefined) {
      log.warn({ job: job.id }, "sweep paused: Kinde leaves one of its calls unanswered, but answers others");
      await job.moveToDelayed(now() + step.waitMs, job.token);
      throw new DelayedError();
    }
    // Ahead of the plan by a page at most: the clock of the process that began the sweep can be ahead.
    const earlyMs = state.phase === "listing" ? Math.min(slot, state.startedAt + state.calls * slot - now()) : 0;
    await delay(Math.max(paceMs, earlyMs), undefined, { signal: closing }).catch(() => undefined);
    await handBackIfClosing(deps, job);
  }
  await noteSweep(options, state, now());
  delays.late.note(state.lateMs);
  if (state.heldBack > 0) {
    const { heldBack, recorded, users } = state;
    log.warn(
      { heldBack, recorded, listed: users },
      "Kinde's search omits too many recorded users: none of them is refreshed",
    );
  }
  if (state.lost > 0 && !state.verified)
    log.warn({ lost: state.lost }, "records were lost: the store is incomplete until a sweep has counted everybody");
  log.info({ ...state, ms: now() - state.startedAt }, "sweep completed");
  await scheduleNext({ queues, sweeps, pace, now });
}

async function plannedSlot({ sweeps, pace, perMinute, pageSize }: SweepWorkerOptions): Promise<number> {
  const [setting, last] = await Promise.all([pace.read(), sweeps.last()]);
  return slotMs({ ...setting, perMinute, calls: expectedCalls(last?.users ?? 0, { pageSize }) });
}

async function begin(options: SweepWorkerOptions, now: number): Promise<SweepState> {
  const { sweeps, seen, completeness, indexLag, readAged } = options;
  const [number, previous, completeSince, counted, lagMs, aged] = await Promise.all([
    sweeps.nextNumber(),
    sweeps.last(),
    completeness.since(),
    completeness.counted(),
    indexLag.expected(),
    readAged(),
  ]);
  const state = beginSweep({ number, previous, now, fill: !counted, completeSince, lagMs, aged });
  await seen.begin(state.mark, state.previous);
  return state;
}
