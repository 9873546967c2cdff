import { parseChange, type StoredChange, storedChange } from "../src/push/change.ts";
import { createDeliver, type DeliverOptions } from "../src/push/deliver.ts";
import type { PushQueue } from "../src/push/queues.ts";
import { createWorker, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of {@link createPushWorker}. */
export interface PushWorkerOptions extends Pick<DeliverOptions, "fetch" | "timeoutMs"> {
  push: PushQueue;
}

/** Deliveries to one endpoint at the same time, per process. */
const concurrency = 10;

/** Creates the worker that sends changes to one endpoint. */
export function createPushWorker({ push, fetch, timeoutMs }: PushWorkerOptions, deps: WorkerDeps) {
  const deliver = createDeliver({ ...push.endpoint, fetch, now: deps.now, timeoutMs });
  return createWorker<StoredChange>(deps, {
    queue: push.queue,
    concurrency,
    member: ({ userId }) => userId,
    async process(job) {
      const stored = storedChange.parse(job.data);
      const change = stored === undefined ? undefined : parseChange(stored);
      if (change === undefined) throw new Error("The change is unreadable.");
      await deliver(change, deps.signal);
    },
  });
}
