import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import { type LongJob, openQueue, type QueueOptions } from "../redis/queue.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import type { AuditState } from "./audit.ts";
import { type DriftCause, driftCauses } from "./find-cause.ts";

/** A scheduled audit that went through; times in milliseconds since the epoch. */
export interface FinishedAudit extends Omit<AuditState, "rest"> {
  finishedAt: number;
}

/** All scheduled audits together. */
export interface AuditTotals {
  checked: number;
  unsettled: number;
  failed: number;
  drift: Record<DriftCause, number>;
}

/** What the workers' audits found, so that nobody else need ask Kinde for it. */
export interface AuditLog {
  last(): Promise<FinishedAudit | undefined>;
  totals(): Promise<AuditTotals>;
  finish(state: AuditState, finishedAt: number): Promise<void>;
  webhook(): Promise<WebhookCheck | undefined>;
  noteWebhook(check: WebhookCheck): Promise<void>;
}

/** The log, over one connection. */
export function createAuditLog({ redis, keys }: { redis: Redis; keys: Keys }): AuditLog {
  const [lastKey, totalsKey, webhookKey] = ["audit:last", "audit:totals", "audit:webhook"].map(keys.ledgerPart) as [
    string,
    string,
    string,
  ];
  const read = async <T>(key: string) => {
    const text = await redis.get(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  };
  return {
    last: () => read<FinishedAudit>(lastKey),
    async totals() {
      const fields = await redis.hgetall(totalsKey);
      const drift = driftCauses.map((cause) => [cause, Number(fields[cause] ?? 0)] as const);
      return {
        checked: Number(fields.checked ?? 0),
        unsettled: Number(fields.unsettled ?? 0),
        failed: Number(fields.failed ?? 0),
        drift: Object.fromEntries(drift) as Record<DriftCause, number>,
      };
    },
    async finish({ rest: _none, ...state }, finishedAt) {
      const finished: FinishedAudit = { ...state, finishedAt };
      const changes = redis.multi().set(lastKey, JSON.stringify(finished));
      const counts = { checked: state.checked, unsettled: state.unsettled, failed: state.failed, ...state.causes };
      for (const [field, count] of Object.entries(counts)) changes.hincrby(totalsKey, field, count);
      await changes.exec();
    },
    webhook: () => read<WebhookCheck>(webhookKey),
    async noteWebhook(check) {
      await redis.set(webhookKey, JSON.stringify(check));
    },
  };
}

/** `tick`: it is time for an audit. `audit`: one audit, with how far it has come. */
export interface AuditJob extends LongJob {
  state?: AuditState;
}

/** The queue of audits. */
export interface AuditQueue {
  audit: Queue<AuditJob>;
  /** Enqueues an audit, unless one is waiting or running: the fleet runs one at a time. */
  enqueueAudit(): Promise<void>;
}

/** Opens the queue of audits. */
export function createAuditQueue(options: QueueOptions): AuditQueue {
  const audit = openQueue<AuditJob>("audit", options);
  return {
    audit,
    async enqueueAudit() {
      await audit.add("audit", {}, { deduplication: { id: "audit" } });
    },
  };
}
