import { randomUUID } from "node:crypto";
import type { Queue } from "bullmq";
import { type LongJob, openQueue, type QueueOptions } from "../redis/queue.ts";
import { storedSweep } from "./stored-sweep.ts";
import type { SweepState } from "./sweep-state.ts";
import { storedWalks, type WalksState } from "./walks-state.ts";

/**
 * Data of a job in the sweep queue. A `tick` enqueues the next sweep and the walks; a `sweep` is one pass over the search;
 * `walks` compare what the search does not show; `recent` compares recently active users.
 */
export interface SweepJob extends LongJob {
  /** Progress, stored as {@link storedSweep} or as {@link storedWalks}; absent before the first page. Any release can have written it. */
  state?: unknown;
  /** Set for a scheduled sweep, which spreads its calls over the interval. Others run as fast as the budget allows. */
  paced?: boolean;
  /** When a scheduled sweep was to start, in milliseconds since the epoch. */
  dueAt?: number;
}

/** The queue of sweeps. */
export interface SweepQueue {
  sweep: Queue<SweepJob>;
  /**
   * Enqueues a sweep unless one is waiting or running: the fleet runs one at a time. Returns the id of the job that is waiting
   * or running now.
   */
  enqueueSweep(options?: Pick<SweepJob, "paced" | "dueAt">): Promise<string>;
  /** Enqueues the walks that are due, unless some are waiting or running. */
  enqueueWalks(): Promise<void>;
  /** Enqueues a job that continues walks when the one that runs them ends. */
  enqueueMoreWalks(state: unknown): Promise<void>;
  /** Enqueues the checks of recently active users, unless they are waiting or running. */
  enqueueRecentChecks(): Promise<void>;
  /** Schedules the next sweep, in `delayMs`, at `dueAt`. Replaces a tick that is due later. */
  enqueueTick(delayMs: number, dueAt: number): Promise<void>;
}

/** Opens the queue of sweeps. */
export function createSweepQueue(options: QueueOptions): SweepQueue {
  const sweep = openQueue<SweepJob>("sweep", options);
  return {
    sweep,
    async enqueueSweep(data = {}) {
      // BullMQ counts ids from 1, and again after a wipe: a worker that still runs a lost job would update its successor.
      const job = await sweep.add("sweep", data, { jobId: randomUUID(), deduplication: { id: "sweep" } });
      return job.id ?? "";
    },
    async enqueueWalks() {
      await sweep.add("walks", {}, { jobId: randomUUID(), deduplication: { id: "walks" } });
    },
    async enqueueMoreWalks(state) {
      const deduplication = { id: "walks", keepLastIfActive: true };
      await sweep.add("walks", { state }, { jobId: randomUUID(), deduplication });
    },
    async enqueueRecentChecks() {
      await sweep.add("recent", {}, { jobId: randomUUID(), deduplication: { id: "recent" } });
    },
    async enqueueTick(delayMs, dueAt) {
      // Every process looks now and then: together they would put off a tick that is due, again and again.
      const waiting = await sweep.getDeduplicationJobId("tick");
      const tick = waiting === null ? undefined : await sweep.getJob(waiting);
      if (tick !== undefined && (tick.data.dueAt ?? 0) <= dueAt) return;
      const deduplication = { id: "tick", replace: true };
      await sweep.add("tick", { dueAt }, { jobId: randomUUID(), delay: delayMs, deduplication });
    },
  };
}

/** A sweep that is waiting or running. */
export interface CurrentSweep {
  /** Id of its job. */
  id: string;
  /** `undefined` before the first page. */
  state: SweepState | undefined;
  /** When it was to start, in milliseconds since the epoch; `undefined` if no schedule started it. */
  dueAt: number | undefined;
}

/** Returns the sweep that is waiting or running. */
export async function currentSweep({ sweep }: Pick<SweepQueue, "sweep">): Promise<CurrentSweep | undefined> {
  const jobs = await sweep.getJobs(["active", "waiting", "delayed"]);
  const job = jobs.find((each) => each?.name === "sweep");
  return job && { id: job.id ?? "", state: storedSweep.parse(job.data.state), dueAt: job.data.dueAt };
}

/** Returns the walks that are under way. */
export async function currentWalks({ sweep }: Pick<SweepQueue, "sweep">): Promise<WalksState["walks"]> {
  const jobs = await sweep.getJobs(["active", "waiting", "delayed"]);
  const job = jobs.find((each) => each?.name === "walks");
  return storedWalks.parse(job?.data.state)?.walks ?? {};
}

/** A sweep that gave up. */
export interface FailedSweep {
  id: string;
  /** Milliseconds since the epoch. */
  failedAt: number;
  reason: string;
}

/** Returns the latest sweep that gave up. Its job is kept until many others have failed. */
export async function failedSweep({ sweep }: Pick<SweepQueue, "sweep">): Promise<FailedSweep | undefined> {
  const jobs = await sweep.getFailed(0, 20);
  const job = jobs.find((failed) => failed?.name === "sweep");
  return job && { id: job.id ?? "", failedAt: job.finishedOn ?? 0, reason: job.failedReason };
}
