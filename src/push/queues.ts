import { createHash } from "node:crypto";
import type { Job, Queue } from "bullmq";
import { openQueue, type QueueOptions } from "../redis/queue.ts";
import { type StoredChange, storedChange } from "./change.ts";
import type { PushEndpoint } from "./deliver.ts";

/** The deliveries to one endpoint. Each endpoint has its own queue, so that a dead one does not delay the others. */
export interface PushQueue {
  endpoint: PushEndpoint;
  /** Name of the queue, and of the endpoint's consumer group of the stream. */
  name: string;
  queue: Queue<StoredChange>;
  /** Adds a job per change. A change that is already queued is not added again. */
  enqueue(changes: readonly StoredChange[]): Promise<void>;
}

/** A delivery that used up its attempts. */
export interface FailedPush {
  kind: "push";
  /** `push:<endpoint>:<change>`, unique among all failures. */
  member: string;
  userId: string;
  code: string;
  message: string;
  /** Milliseconds since the epoch. */
  failedAt: number;
  attempts: number;
}

/** Opens a queue per endpoint. */
export function openPushQueues(endpoints: readonly PushEndpoint[], options: QueueOptions): PushQueue[] {
  return endpoints.map((endpoint) => {
    // A URL can contain a secret, so only its hash is stored.
    const name = `push-${createHash("sha256").update(endpoint.url).digest("hex").slice(0, 8)}`;
    const queue = openQueue<StoredChange>(name, options);
    return {
      endpoint,
      name,
      queue,
      async enqueue(changes) {
        if (changes.length === 0) return;
        await queue.addBulk(
          changes.map((change) => ({
            name: "push",
            data: storedChange.versioned(change),
            opts: { jobId: change.id },
          })),
        );
      },
    };
  });
}

/** Lists the deliveries that used up their attempts, latest first. BullMQ keeps the last 1,000 of each endpoint. */
export async function listFailedPushes(queues: readonly PushQueue[]): Promise<FailedPush[]> {
  const all = await Promise.all(
    queues.map(async (each) => (await failedJobs(each)).map((job) => toFailure(each, job))),
  );
  return all.flat().sort((a, b) => b.failedAt - a.failedAt);
}

/** Queues failed deliveries again, with all their attempts. */
export async function retryPushes(queues: readonly PushQueue[], members: readonly string[]): Promise<void> {
  await forEachFailed(queues, members, async (job) => job.retry("failed", { resetAttemptsMade: true }));
}

/** Removes failed deliveries. */
export async function discardPushes(queues: readonly PushQueue[], members: readonly string[]): Promise<void> {
  await forEachFailed(queues, members, async (job) => job.remove());
}

async function forEachFailed(
  queues: readonly PushQueue[],
  members: readonly string[],
  apply: (job: Job<StoredChange>) => Promise<void>,
): Promise<void> {
  const chosen = new Set(members);
  for (const each of queues) {
    for (const job of await failedJobs(each)) {
      if (chosen.has(memberOf(each, job))) await apply(job);
    }
  }
}

async function failedJobs({ queue }: PushQueue): Promise<Job<StoredChange>[]> {
  // BullMQ can return nothing for a job that is removed meanwhile.
  return (await queue.getFailed()).filter((job) => job !== undefined && job !== null);
}

function memberOf({ name }: PushQueue, { id }: Job): string {
  return `${name.replace("-", ":")}:${id}`;
}

function toFailure(each: PushQueue, job: Job<StoredChange>): FailedPush {
  const [, code = "unexpected", message = "See the log of the worker."] =
    /^(\w+): (.*)$/s.exec(job.failedReason ?? "") ?? [];
  return {
    kind: "push",
    member: memberOf(each, job),
    userId: storedChange.parse(job.data)?.userId ?? "",
    code,
    message,
    failedAt: job.finishedOn ?? 0,
    attempts: job.attemptsMade,
  };
}
