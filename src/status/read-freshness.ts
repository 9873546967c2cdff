import { driftRate } from "../audit/audit.ts";
import type { AuditTotals, FinishedAudit } from "../audit/audit-log.ts";
import { type ReadableTimes, readReadableTimes, shareWithin } from "../redis/readable-times.ts";
import type { Store } from "../store.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import type { Silence } from "../webhook/silence.ts";

/** How far the records are from the truth. Times and durations in milliseconds, shares from 0 to 1. */
export interface Freshness {
  /** Acknowledged events and how soon they were readable. */
  readable: { lastDay: ReadableSummary; ever: ReadableSummary };
  /** The last audit, with the share of its sample that differed and what that says of all; `null`: none yet. */
  audit: (FinishedAudit & { rate: number; atMost: number }) | null;
  audits: AuditTotals;
  /** `null`: no worker has listened yet. */
  silence: Silence | null;
  /** Our webhook, when Kinde was last asked; `null`: not yet. */
  webhook: WebhookCheck | null;
}

/** Events of a time, and the share of them that was readable within a bound; `null` where there was none. */
export interface ReadableSummary {
  events: number;
  meanMs: number | null;
  within1s: number | null;
  within10s: number | null;
  within60s: number | null;
  within5m: number | null;
}

/** Reads it from Redis; Kinde is not asked. */
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
