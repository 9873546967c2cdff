import { DelayedError, type Job } from "bullmq";
import type { Ledger } from "../src/redis/ledger.ts";
import type { Concern } from "../src/redis/ledger-scripts.ts";
import type { AcknowledgeUsers } from "../src/refresh/acknowledge-users.ts";
import type { FanOut } from "../src/refresh/fan-out.ts";
import { type FanoutJob, type FanoutSubject, type RefreshQueues, storedFanoutProgress } from "../src/refresh/queues.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";
import type { RefreshWorkerOptions } from "./refresh-worker.ts";

/** Dependencies of {@link createFanoutWorker}. */
export interface FanoutWorkerOptions {
  queues: Pick<RefreshQueues, "fanout" | "bulk">;
  /** The ledger of users. */
  ledger: Ledger;
  fanoutLedger: Ledger;
  fanOut: FanOut;
  acknowledge: AcknowledgeUsers;
  records: RefreshWorkerOptions["records"];
  /** How long Kinde can answer with the state before a change, in milliseconds. */
  settleMs: number;
  /** Users found by sweeps at which those pause. Fan-outs pause at twice as many jobs of any kind, so no sweep holds them up. */
  backlog: number;
}

/** Pause of a fan-out while there is no room for its next page. */
const roomPauseMs = 5_000;
/** Users in the ledger at which fan-outs pause: refreshes that fail leave it as large as it is. */
const mostOutstanding = 100_000;

/**
 * Creates the worker that enqueues a refresh for every user a change affects, page by page. It waits for room before each
 * page, so that a change that affects everybody does not put everybody into Redis at once. Until the last page is
 * enqueued, the fan-out itself is in the ledger, and its job keeps its place.
 */
export function createFanoutWorker(options: FanoutWorkerOptions, deps: WorkerDeps) {
  const { queues, fanoutLedger, fanOut, acknowledge } = options;
  return createWorker<FanoutJob>(deps, {
    queue: queues.fanout,
    concurrency: 1,
    ledger: fanoutLedger,
    member: ({ subject }) => subject,
    async process(job, onTicket) {
      const { subject } = job.data;
      let progress = storedFanoutProgress.parse(job.data.progress);
      const { ticket, at, events } = progress ? { ...progress, events: 0 } : await fanoutLedger.begin(subject);
      onTicket(ticket);
      const since = (await fanoutLedger.entry(subject))?.since;
      // Already reflected: only the job is left over.
      if (since === undefined && progress === undefined) return;
      // Of several events, the last one can have come just now.
      const changedAt = events === 1 && since !== undefined ? since / 1000 : undefined;
      for (;;) {
        await waitForRoom(options, deps, job);
        const page = await fanOut(subject, progress, { priority: "webhook", signal: deps.signal, changedAt });
        await acknowledge(await notReflected(options, page.userIds, ticket, at), {
          concern: concernOf(subject),
          since,
        });
        if (page.next === undefined) break;
        progress = { ...page.next, ticket, ...(at !== undefined && { at }) };
        const stored = storedFanoutProgress.versioned(progress);
        await job.updateData({ subject, progress: stored, forgiven: job.attemptsMade });
        await handBackIfClosing(deps, job);
      }
      // An event that came during the fan-out, too late for the pages already done, stays in the ledger. Its job follows.
      await fanoutLedger.settle(subject, ticket, { ...(at !== undefined && { at }) });
    },
  });
}

// An organization's event can be about a plan: the payloads of billing events are not documented.
function concernOf(subject: FanoutSubject): Concern {
  return subject.startsWith("organization:") ? "everything" : "grants";
}

// A long fan-out meets most users twice, in Kinde's listing and in the records, and all of them when it begins again.
async function notReflected(
  { records, settleMs }: FanoutWorkerOptions,
  userIds: readonly string[],
  ticket: number,
  at: number | undefined,
) {
  if (at === undefined) return userIds;
  const stamps = await records.stamps(userIds);
  const settledAt = at / 1000 + settleMs;
  return userIds.filter((_, index) => {
    const stamp = stamps[index];
    return stamp === undefined || stamp.ticket < ticket || stamp.fetchedAt < settledAt;
  });
}

async function waitForRoom({ queues, ledger, backlog }: FanoutWorkerOptions, { now }: WorkerDeps, job: Job) {
  const [{ waiting = 0, prioritized = 0, delayed = 0 }, { size }] = await Promise.all([
    queues.bulk.getJobCounts("waiting", "prioritized", "delayed"),
    ledger.size(),
  ]);
  if (waiting + prioritized + delayed < 2 * backlog && size < mostOutstanding) return;
  await job.moveToDelayed(now() + roomPauseMs, job.token);
  throw new DelayedError();
}
