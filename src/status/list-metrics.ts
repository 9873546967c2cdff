import { type ReadableTimes, readableBoundsMs } from "../redis/readable-times.ts";
import type { Figures } from "./read-status.ts";
import type { Metric, Sample } from "./render-metrics.ts";

/** States of our webhook. */
const states = ["ok", "missing", "incomplete", "unknown"] as const;

/** The figures as metrics. Seconds for every time and duration. No user, no address, no value of a user's in any of them. */
export function listMetrics(figures: Figures, readable: ReadableTimes): Metric[] {
  return [...eventMetrics(figures, readable), ...workMetrics(figures), ...truthMetrics(figures)];
}

function eventMetrics({ events, freshness }: Figures, readable: ReadableTimes): Metric[] {
  const { duplicate, ...groups } = events;
  const byType = Object.entries(groups).flatMap(([outcome, types]): Sample[] =>
    typeof types === "number"
      ? []
      : Object.entries(types).map(([type, value]) => ({ labels: { outcome, type }, value })),
  );
  const duplicates: Sample = { labels: { outcome: "duplicate", type: "" }, value: duplicate };
  const { silence, webhook } = freshness;
  return [
    counter("kindling_events_total", "Verified events, by what became of them.", [...byType, duplicates]),
    {
      name: "kindling_readable_seconds",
      help: "Time from an event's acknowledgement to the commit that reflects it.",
      type: "histogram",
      samples: [
        ...readableBoundsMs.map((bound, index) => bucket(String(bound / 1000), readable.within[index] ?? 0)),
        bucket("+Inf", readable.events),
        { suffix: "_sum", value: readable.sumMs / 1000 },
        { suffix: "_count", value: readable.events },
      ],
    },
    gauge("kindling_silence_seconds", "Time since the last event was heard.", seconds(silence?.forMs)),
    gauge("kindling_silence_usual_seconds", "Silence beyond this is unusual.", seconds(silence?.usualMs)),
    gauge(
      "kindling_webhook_state",
      "1 for the state our webhook at Kinde was last found in.",
      states.map((state) => ({ labels: { state }, value: webhook?.state === state ? 1 : 0 })),
    ),
  ];
}

function workMetrics({ ledger, queues, calls, records }: Figures): Metric[] {
  const ledgers = Object.entries(ledger);
  const jobs = Object.entries(queues).flatMap(([queue, { waiting, active, delayed, failed }]) =>
    Object.entries({ waiting, active, delayed, failed }).map(([state, value]) => ({ labels: { queue, state }, value })),
  );
  return [
    gauge(
      "kindling_ledger_size",
      "Users and fan-outs with an acknowledged event not reflected yet.",
      ledgers.map(([name, { size }]) => ({ labels: { ledger: name }, value: size })),
    ),
    gauge(
      "kindling_ledger_oldest_age_seconds",
      "Age of the oldest of them; 0: none.",
      ledgers.map(([name, { oldestAgeMs }]) => ({ labels: { ledger: name }, value: oldestAgeMs / 1000 })),
    ),
    gauge(
      "kindling_ledger_failed",
      "Of them, those whose refresh gave up.",
      ledgers.map(([name, { failed }]) => ({ labels: { ledger: name }, value: failed })),
    ),
    gauge("kindling_jobs", "Jobs by queue and state.", jobs),
    gauge("kindling_calls_under_way", "Calls to Kinde under way.", [{ value: calls.inUse }]),
    gauge("kindling_calls_available", "Calls to Kinde that could start at once.", [{ value: calls.available }]),
    gauge("kindling_calls_paused_seconds", "Time until calls to Kinde are allowed again; 0: they are.", [
      { value: calls.pausedMs / 1000 },
    ]),
    gauge("kindling_records", "Records, estimated from a sample where there are many.", [
      { labels: { status: "present" }, value: records.present },
      { labels: { status: "deleted" }, value: records.deleted },
    ]),
  ];
}

function truthMetrics({ sweep: { completeSince, last: sweep }, freshness: { audit, audits } }: Figures): Metric[] {
  const drift = Object.entries(audits.drift).map(([cause, value]) => ({ labels: { cause }, value }));
  return [
    gauge("kindling_store_complete", "1 once the store holds everybody, 0 while it is being filled.", [
      { value: completeSince === null ? 0 : 1 },
    ]),
    gauge("kindling_sweep_finished_timestamp_seconds", "When the last sweep went through.", seconds(sweep?.finishedAt)),
    gauge("kindling_sweep_users", "Users it compared.", known(sweep?.users)),
    gauge("kindling_sweep_different", "Of these, records that differed.", known(sweep?.different)),
    gauge("kindling_sweep_missing", "Of these, users without a record.", known(sweep?.missing)),
    gauge("kindling_audit_finished_timestamp_seconds", "When the last audit went through.", seconds(audit?.finishedAt)),
    gauge("kindling_audit_sample", "Records the last audit looked at.", known(audit?.checked)),
    gauge("kindling_audit_drift_ratio", "Share of them that differed from Kinde.", known(audit?.rate)),
    counter("kindling_audit_checked_total", "Records all audits looked at.", [{ value: audits.checked }]),
    counter("kindling_audit_unsettled_total", "Of these, who changed faster than one can look.", [
      { value: audits.unsettled },
    ]),
    counter("kindling_audit_failed_total", "Beside these, users of whom Kinde gave no answer.", [
      { value: audits.failed },
    ]),
    counter("kindling_audit_drift_total", "Of these, who differed from Kinde, by cause.", drift),
  ];
}

function counter(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: "counter", samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: "gauge", samples };
}

function bucket(le: string, value: number): Sample {
  return { suffix: "_bucket", labels: { le }, value };
}

// What is not known has no sample: a 0 would be a lie.
function known(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }];
}

function seconds(ms: number | undefined): Sample[] {
  return known(ms === undefined ? undefined : ms / 1000);
}
