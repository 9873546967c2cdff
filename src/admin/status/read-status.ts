import type { Config } from "../../config.ts";
import type { Failure } from "../../queue/ledger.ts";
import type { Queues } from "../../queue/queues.ts";
import type { Store } from "../compose.ts";
import { listFailures } from "../failures.ts";
import { countRecords, type RecordCount } from "./count-records.ts";

/** How a deployment stands. Times and durations in milliseconds. */
export interface Status {
  prefix: string;
  queues: Record<"refresh" | "bulk" | "fanout", QueueStatus>;
  ledger: Record<"users" | "fanouts", { size: number; oldestAgeMs: number; failed: number }>;
  calls: { pausedMs: number; inUse: number; available: number; perMinute: number; atOnce: number };
  records: RecordCount;
  /** By what became of them, then by type. */
  events: { duplicate: number } & Record<string, number | Record<string, number>>;
  lastFailures: ({ kind: "user" | "fanout"; member: string } & Failure)[];
}

/** One queue. `delayed` jobs wait for a retry or a burst's end, `failed` ones gave up. */
export interface QueueStatus {
  waiting: number;
  active: number;
  delayed: number;
  failed: number;
  paused: boolean;
}

const failuresShown = 5;

/** Reads how a deployment stands, all of it in a handful of round trips. */
export async function readStatus(store: Store, { prefix, calls }: Config): Promise<Status> {
  const { queues, users, fanouts, budget, redis, keys } = store;
  const [refresh, bulk, fanout, userLedger, fanoutLedger, budgetState, records, counts, failures] = await Promise.all([
    readQueue(queues.refresh),
    readQueue(queues.bulk),
    readQueue(queues.fanout),
    users.size(),
    fanouts.size(),
    budget.state(),
    countRecords(redis, keys),
    redis.hgetall(keys.ledgerPart("counts")),
    listFailures(store),
  ]);
  return {
    prefix,
    queues: { refresh, bulk, fanout },
    ledger: { users: userLedger, fanouts: fanoutLedger },
    calls: { ...budgetState, ...calls },
    records,
    events: groupCounts(counts),
    lastFailures: failures.slice(0, failuresShown),
  };
}

async function readQueue(queue: Queues["refresh" | "bulk" | "fanout"]): Promise<QueueStatus> {
  const [counts, paused] = await Promise.all([
    queue.getJobCounts("waiting", "prioritized", "active", "delayed", "failed"),
    queue.isPaused(),
  ]);
  const { waiting = 0, prioritized = 0, active = 0, delayed = 0, failed = 0 } = counts;
  return { waiting: waiting + prioritized, active, delayed, failed, paused };
}

// Fields are `duplicate`, or what became of the event and its type: `accepted:user.created`.
function groupCounts(fields: Readonly<Record<string, string>>): Status["events"] {
  const events: Status["events"] = { duplicate: Number(fields.duplicate ?? 0) };
  for (const [field, text] of Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const colon = field.indexOf(":");
    if (colon === -1) continue;
    const group = field.slice(0, colon);
    const types = events[group];
    events[group] = { ...(typeof types === "object" && types), [field.slice(colon + 1)]: Number(text) };
  }
  return events;
}
