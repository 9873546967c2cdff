import { randomUUID } from "node:crypto";
import type { Queue } from "bullmq";
import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { type LongJob, openQueue, type QueueOptions } from "../redis/queue.ts";
import { storedShape } from "../redis/stored.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import type { AuditState } from "./audit.ts";
import { type DriftCause, driftCauses } from "./find-cause.ts";
import { auditStateSchema, auditVersion, migrateAudit } from "./stored-audit.ts";

/** A completed scheduled audit. Times in milliseconds since the epoch. */
export interface FinishedAudit extends Omit<AuditState, "rest"> {
  finishedAt: number;
}

/** Totals over all scheduled audits. */
export interface AuditTotals {
  checked: number;
  unsettled: number;
  failed: number;
  drift: Record<DriftCause, number>;
}

/** Results of the workers' audits, kept in Redis so that commands and metrics need no call to Kinde. */
export interface AuditLog {
  /** Returns the last completed audit. */
  last(): Promise<FinishedAudit | undefined>;
  totals(): Promise<AuditTotals>;
  /** Records a completed audit and adds it to the totals. */
  finish(state: AuditState, finishedAt: number): Promise<void>;
  /** Returns the last check of our webhook at Kinde. */
  webhook(): Promise<WebhookCheck | undefined>;
  noteWebhook(check: WebhookCheck): Promise<void>;
}

const storedFinishedAudit = storedShape<FinishedAudit>(
  auditVersion,
  auditStateSchema.omit({ rest: true }).extend({ finishedAt: z.number() }),
  { migrate: migrateAudit },
);

const storedWebhookCheck = storedShape<WebhookCheck>(
  1,
  z.object({
    state: z.enum(["ok", "missing", "incomplete", "unknown"]),
    checkedAt: z.number(),
    endpoint: z.string().exactOptional(),
    missingTypes: z.array(z.string()).exactOptional(),
    reason: z.string().exactOptional(),
  }),
  { migrate: (older) => older },
);

// A hash, so that audits can increment it: a cause without drift has no field.
const total = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
  .default(0);

const storedTotals = storedShape<AuditTotals>(
  1,
  z
    .object({
      checked: total,
      unsettled: total,
      failed: total,
      ...(Object.fromEntries(driftCauses.map((cause) => [cause, total])) as Record<DriftCause, typeof total>),
    })
    .transform(({ checked, unsettled, failed, ...drift }) => ({ checked, unsettled, failed, drift })),
  { migrate: (older) => older },
);

const noTotals: AuditTotals = {
  checked: 0,
  unsettled: 0,
  failed: 0,
  drift: Object.fromEntries(driftCauses.map((cause) => [cause, 0])) as Record<DriftCause, number>,
};

/** Creates the audit log. */
export function createAuditLog({ redis, keys }: { redis: RedisClient; keys: Keys }): AuditLog {
  const lastKey = keys.ledgerPart("audit:last");
  const totalsKey = keys.ledgerPart("audit:totals");
  const webhookKey = keys.ledgerPart("audit:webhook");
  const readTotals = async () => storedTotals.parse(await redis.hgetall(totalsKey));
  return {
    async last() {
      return storedFinishedAudit.parse(await redis.get(lastKey));
    },
    async totals() {
      return (await readTotals()) ?? noTotals;
    },
    async finish({ rest: _rest, ...state }, finishedAt) {
      const changes = redis.multi().set(lastKey, storedFinishedAudit.serialize({ ...state, finishedAt }));
      // HINCRBY fails on a malformed field: unreadable totals start again.
      if ((await readTotals()) === undefined) changes.del(totalsKey);
      changes.hset(totalsKey, "v", storedTotals.version);
      const counts = { checked: state.checked, unsettled: state.unsettled, failed: state.failed, ...state.causes };
      for (const [field, count] of Object.entries(counts)) changes.hincrby(totalsKey, field, count);
      await changes.exec();
    },
    async webhook() {
      return storedWebhookCheck.parse(await redis.get(webhookKey));
    },
    async noteWebhook(check) {
      await redis.set(webhookKey, storedWebhookCheck.serialize(check));
    },
  };
}

/** Data of a job in the audit queue. A `tick` enqueues the next audit; an `audit` is one audit. */
export interface AuditJob extends LongJob {
  /** Progress, stored as {@link storedAudit}; absent at the start. Any release can have written it. */
  state?: unknown;
}

/** The queue of audits. */
export interface AuditQueue {
  audit: Queue<AuditJob>;
  /** Enqueues an audit unless one is waiting or running: the fleet runs one at a time. */
  enqueueAudit(): Promise<void>;
}

/** Opens the queue of audits. */
export function createAuditQueue(options: QueueOptions): AuditQueue {
  const audit = openQueue<AuditJob>("audit", options);
  return {
    audit,
    async enqueueAudit() {
      // Not BullMQ's own ids, which recur after a wipe.
      await audit.add("audit", {}, { jobId: randomUUID(), deduplication: { id: "audit" } });
    },
  };
}
