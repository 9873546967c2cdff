import { driftRate } from "../audit/audit.ts";
import type { AuditTotals, FinishedAudit } from "../audit/audit-log.ts";
import { type ReadableTimes, readReadableTimes, shareWithin } from "../redis/readable-times.ts";
import type { Store } from "../store.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import type { Silence } from "../webhook/silence.ts";

/** Freshness and drift. Times and durations are in milliseconds, shares from 0 to 1. */
export interface Freshness {
  /** Time from acknowledgement to the commit that reflects the event. */
  readable: { lastDay: ReadableSummary; ever: ReadableSummary };
  /** The last audit: share of the sample that differed, and its upper bound for all users. `null` before the first one. */
  audit: (FinishedAudit & { rate: number; atMost: number }) | null;
  audits: AuditTotals;
  /** `null` until a worker has started. */
  silence: Silence | null;
  /** Last check of Kindling's webhook; `null` before the first one. */
  webhook: WebhookCheck | null;
}

/** Events of a period and the share readable within each bound; `null` if there were none. */
export interface ReadableSummary {
  events: number;
  meanMs: number | null;
  within1s: number | null;
  within10s: number | null;
  within60s: number | null;
  within5m: number | null;
}

/** Reads freshness and drift from Redis, without calls to Kinde. */
export async function readFreshness(
  { redis, keys, audits, pulse }: Pick<Store, "redis" | "keys" | "audits" | "pulse">,
  now: number,
): Promise<Freshness> {
  const [times, audit, totals, silence, webhook] = await Promise.all([
    readReadableTimes(redis, keys, now),
    audits.last(),
    audits.totals(),
    pulse.read(),
    audits.webhook(),
  ]);
  return {
    readable: { lastDay: summarize(times.lastDay), ever: summarize(times.ever) },
    audit: audit === undefined ? null : { ...audit, ...driftRate(audit) },
    audits: totals,
    silence: silence ?? null,
    webhook: webhook ?? null,
  };
}

function summarize(times: ReadableTimes): ReadableSummary {
  return {
    events: times.events,
    meanMs: times.events === 0 ? null : times.sumMs / times.events,
    within1s: shareWithin(times, 1_000),
    within10s: shareWithin(times, 10_000),
    within60s: shareWithin(times, 60_000),
    within5m: shareWithin(times, 300_000),
  };
}
