import type { FinishedSweep } from "../sweep/sweep-log.ts";
import { countDisputed } from "../sweep/sweep-state.ts";
import { type WalkHistory, type WalkKind, walkKinds, walkWords } from "../sweep/walk-log.ts";
import { countWords, durationWords, percentWords, plural } from "../words.ts";
import type { Freshness } from "./read-freshness.ts";

/** A condition that needs an operator's attention. */
export interface Warning {
  code:
    | "failed"
    | "queue_paused"
    | "silence"
    | "webhook_missing"
    | "webhook_incomplete"
    | "sweep_failed"
    | "sweep_late"
    | "walk_failed"
    | "listing_disputed"
    | "listing_short"
    | "drift"
    | "absences_suspended";
  message: string;
}

/** Figures that warnings are derived from. */
export interface FindWarningsOptions extends Pick<Freshness, "silence" | "webhook" | "audit"> {
  /** Why the last sweep failed, `null` if it succeeded; and the last one that completed. */
  sweep: {
    failed: { reason: string } | null;
    last: Pick<FinishedSweep, "heldBack" | "recorded" | "users" | "disputed"> | null;
    walks: Partial<Record<WalkKind, WalkHistory>>;
    /** By how much a page or a sweep is late now, and how often they come. */
    overdueMs: number;
    bound: { everyMs: number } | null;
  };
  absences: { suspendedSince: number | null };
  ledger: Record<"users" | "fanouts", { failed: number }>;
  queues: Record<string, { paused: boolean }>;
}

/** Returns whether so many disputed users are a reason to worry. */
function areMany(disputed: number, compared: number): boolean {
  return disputed > Math.max(20, compared / 100);
}

/** Sweeps that are late for less are no reason to worry. Milliseconds. */
const fewMs = 60_000;

/** Returns the warnings, each with the next step. */
export function findWarnings(options: FindWarningsOptions): Warning[] {
  const { silence, webhook, audit, sweep, absences, ledger, queues } = options;
  const warnings: Warning[] = [];
  const failed = ledger.users.failed + ledger.fanouts.failed;
  if (failed > 0) {
    const message = `${failed === 1 ? "A refresh" : `${countWords(failed)} refreshes`} failed after all attempts. See why, and how to retry: kindling failed`;
    warnings.push({ code: "failed", message });
  }
  for (const [name, { paused }] of Object.entries(queues)) {
    if (!paused) continue;
    const message = `The queue ${name} is paused: its jobs wait until somebody resumes it, on the dashboard's page Queues.`;
    warnings.push({ code: "queue_paused", message });
  }
  if (webhook?.state === "missing") {
    const message = "Kinde has no webhook for Kindling. Create it: kindling webhook register <url>";
    warnings.push({ code: "webhook_missing", message });
  }
  if (webhook?.state === "incomplete") {
    const types = (webhook.missingTypes ?? []).join(", ");
    const message = `Kindling's webhook lacks the event types ${types}. Add them: kindling webhook register ${webhook.endpoint}`;
    warnings.push({ code: "webhook_incomplete", message });
  }
  if (silence?.unusual) {
    const received = silence.ever ? `No event for ${durationWords(silence.forMs)}` : "No event received yet";
    // Kinde's API does not show whether a webhook is switched off.
    const hint =
      webhook?.state === "ok"
        ? " The webhook exists, but Kinde may have switched it off: check it in Kinde, or run kindling webhook register --renew."
        : "";
    warnings.push({
      code: "silence",
      message: `${received} (unusual after ${durationWords(silence.usualMs)}).${hint}`,
    });
  }
  if (sweep.failed !== null) {
    const message = `The last sweep failed: ${sweep.failed.reason} After fixing it, run kindling sweep.`;
    warnings.push({ code: "sweep_failed", message });
  }
  if (sweep.bound !== null && sweep.overdueMs > Math.max(fewMs, sweep.bound.everyMs)) {
    const message = `The sweep is ${durationWords(sweep.overdueMs)} late: changes without an event wait for it. Check that workers run, that Kinde answers them, and the queues.`;
    warnings.push({ code: "sweep_late", message });
  }
  if (sweep.last !== null && sweep.last.heldBack > 0) {
    const { heldBack, recorded } = sweep.last;
    const message = `Kinde's search did not list ${countWords(heldBack)} of ${plural(recorded, "recorded user")} twice in a row. Too many to be deletions: nothing was done. If they are, run kindling verify --all --repair`;
    warnings.push({ code: "listing_short", message });
  }
  const inSweep = countDisputed(sweep.last?.disputed);
  if (sweep.last !== null && areMany(inSweep, sweep.last.users)) {
    const [field] = Object.entries(sweep.last.disputed ?? {}).sort(([, one], [, other]) => other - one)[0] ?? [];
    const message = `Kinde's search and its answers about ${countWords(inSweep)} of ${plural(sweep.last.users, "user")} disagree, mostly in ${field}. The answers count. Please report this.`;
    warnings.push({ code: "listing_disputed", message });
  }
  for (const kind of walkKinds) {
    const { last, failed } = sweep.walks[kind] ?? { last: null, failed: null };
    if (failed !== null) {
      const message = `Changed ${walkWords[kind]} without an event are found by age only, not by comparison: ${failed.reason}`;
      warnings.push({ code: "walk_failed", message });
    } else if (last !== null && areMany(last.disputed, last.compared)) {
      const message = `Kinde's listings of ${walkWords[kind]} and its answers about ${countWords(last.disputed)} of ${plural(last.compared, "user")} disagree. The answers count. Please report this.`;
      warnings.push({ code: "listing_disputed", message });
    }
  }
  if (audit !== null && audit.drifted > 0) {
    const message = `Drift: ${countWords(audit.drifted)} of ${plural(audit.checked, "record")} in the last audit differed from Kinde (${percentWords(audit.rate)}). Check more records: kindling verify`;
    warnings.push({ code: "drift", message });
  }
  if (absences.suspendedSince !== null) {
    const message =
      "Kinde does not find users that have a record, so nobody is taken for deleted. Check KINDE_DOMAIN and what answers " +
      "for it. If the users are really gone: docs/operations.md, Deleted users.";
    warnings.push({ code: "absences_suspended", message });
  }
  return warnings;
}
