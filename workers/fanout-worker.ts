import type { Ledger } from "../src/redis/ledger.ts";
import type { AcknowledgeUsers } from "../src/refresh/acknowledge-users.ts";
import type { FanOut } from "../src/refresh/fan-out.ts";
import { type FanoutJob, type RefreshQueues, storedFanoutProgress } from "../src/refresh/queues.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of {@link createFanoutWorker}. */
export interface FanoutWorkerOptions {
  queues: Pick<RefreshQueues, "fanout" | "enqueueFanouts">;
  fanoutLedger: Ledger;
  fanOut: FanOut;
  acknowledge: AcknowledgeUsers;
}

/** Creates the worker that enqueues a refresh for every user a change affects, page by page. */
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
      const { ticket, at } = progress ?? (await fanoutLedger.begin(subject));
      onTicket(ticket);
      const since = (await fanoutLedger.entry(subject))?.since;
      // Already reflected: only the job is left over.
      if (since === undefined && progress === undefined) return;
      for (;;) {
        const page = await fanOut(subject, progress, { priority: "webhook", signal: deps.signal });
        await acknowledge(page.userIds, since);
        if (page.next === undefined) break;
        progress = { ...page.next, ticket, ...(at !== undefined && { at }) };
        const stored = storedFanoutProgress.versioned(progress);
        await job.updateData({ subject, progress: stored, forgiven: job.attemptsMade });
        await handBackIfClosing(deps, job);
      }
      // An event that joined during the fan-out came too late for the pages already done.
      const { pending } = await fanoutLedger.settle(subject, ticket, { ...(at !== undefined && { at }) });
      if (pending) await queues.enqueueFanouts([subject]);
    },
  });
}
