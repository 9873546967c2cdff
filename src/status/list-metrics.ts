import type { ActivityCounts } from "../redis/activity.ts";
import type { RedisMemory } from "../redis/memory.ts";
import { type ReadableTimes, readableBoundsMs } from "../redis/readable-times.ts";
import { countDisputed } from "../sweep/sweep-state.ts";
import type { Figures } from "./read-status.ts";
import type { Metric, Sample } from "./render-metrics.ts";

const webhookStates = ["ok", "missing", "incomplete", "unknown"] as const;

/** Everything that metrics show. */
export interface MetricsInput {
  figures: Figures;
  readable: ReadableTimes;
  activity: ActivityCounts;
  memory: RedisMemory;
}

/** Converts figures to metrics, with times in seconds. Metrics are readable without credentials: no personal data. */
export function listMetrics({ figures, readable, activity, memory }: MetricsInput): Metric[] {
  return [
    ...eventMetrics(figures, readable),
    ...activityMetrics(activity),
    ...workMetrics(figures),
    ...driftMetrics(figures),
    ...floodMetrics(figures),
    gauge("kindling_redis_memory_used_bytes", "Memory that Redis uses.", [{ value: memory.used }]),
    gauge(
      "kindling_redis_memory_limit_bytes",
      "Memory at which Redis refuses writes.",
      known(memory.limit || undefined),
    ),
  ];
}

function activityMetrics({ answers, calls, refreshes, misfits }: ActivityCounts): Metric[] {
  const counted = ({ count: value, ...labels }: { count: number } & Record<string, number | string>) => ({
    labels: labels as Record<string, string>,
    value,
  });
  return [
    counter("kindling_http_answers_total", "Answers to HTTP requests, by route and status.", answers.map(counted)),
    counter("kindling_kinde_calls_total", "Calls to Kinde, by route and status.", calls.map(counted)),
    counter("kindling_refreshes_total", "Refreshes of users, by cause and outcome.", refreshes.map(counted)),
    counter(
      "kindling_misfits_total",
      "Records committed with a flag's default because the value in Kinde does not fit.",
      misfits.map(counted),
    ),
  ];
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
    counter("kindling_events_total", "Verified events by outcome and type.", [...byType, duplicates]),
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
    gauge("kindling_silence_seconds", "Time since the last event.", seconds(silence?.forMs)),
    gauge("kindling_silence_usual_seconds", "Silence longer than this is unusual.", seconds(silence?.usualMs)),
    gauge(
      "kindling_webhook_state",
      "1 for the state of Kindling's webhook at the last check, 0 for the others.",
      webhookStates.map((state) => ({ labels: { state }, value: webhook?.state === state ? 1 : 0 })),
    ),
  ];
}

function workMetrics({ ledger, queues, calls, records, absences }: Figures): Metric[] {
  const ledgers = Object.entries(ledger);
  const jobs = Object.entries(queues).flatMap(([queue, { waiting, active, delayed, failed }]) =>
    Object.entries({ waiting, active, delayed, failed }).map(([state, value]) => ({ labels: { queue, state }, value })),
  );
  return [
    gauge(
      "kindling_ledger_size",
      "Users and fan-outs with an outstanding event.",
      ledgers.map(([name, { size }]) => ({ labels: { ledger: name }, value: size })),
    ),
    gauge(
      "kindling_ledger_oldest_age_seconds",
      "Age of the oldest outstanding event, 0 if there is none.",
      ledgers.map(([name, { oldestAgeMs }]) => ({ labels: { ledger: name }, value: oldestAgeMs / 1000 })),
    ),
    gauge(
      "kindling_ledger_failed",
      "Users and fan-outs whose refresh failed.",
      ledgers.map(([name, { failed }]) => ({ labels: { ledger: name }, value: failed })),
    ),
    gauge("kindling_jobs", "Jobs by queue and state.", jobs),
    gauge("kindling_calls_under_way", "Calls to Kinde in progress.", [{ value: calls.inUse }]),
    gauge("kindling_calls_available", "Calls to Kinde that can start now.", [{ value: calls.available }]),
    gauge("kindling_calls_limited", "Users and routes that Kinde limits while it answers others.", [
      { value: calls.limited },
    ]),
    gauge("kindling_calls_paused_seconds", "Time until calls to Kinde are allowed again, 0 if they are.", [
      { value: calls.pausedMs / 1000 },
    ]),
    gauge("kindling_records", "Records by status, estimated from a sample if there are many.", [
      { labels: { status: "present" }, value: records.present },
      { labels: { status: "deleted" }, value: records.deleted },
    ]),
    gauge("kindling_absent_users", "Users with a record that Kinde does not find, not confirmed yet.", [
      { value: absences.users },
    ]),
    gauge("kindling_absences_suspended", "1 while Kinde finds so few users that none is taken for deleted.", [
      { value: absences.suspendedSince === null ? 0 : 1 },
    ]),
  ];
}

function driftMetrics({
  sweep: { completeSince, last: sweep, bound, walks, recent },
  freshness: { audit, audits },
}: Figures): Metric[] {
  const walkBounds = Object.entries(walks).flatMap(([part, { withinMs }]) =>
    withinMs === null ? [] : [{ labels: { part }, value: withinMs / 1000 }],
  );
  const drift = Object.entries(audits.drift).map(([cause, value]) => ({ labels: { cause }, value }));
  return [
    gauge("kindling_store_complete", "1 once the store has a record of every user, 0 before.", [
      { value: completeSince === null ? 0 : 1 },
    ]),
    gauge("kindling_sweep_finished_timestamp_seconds", "When the last sweep finished.", seconds(sweep?.finishedAt)),
    gauge(
      "kindling_sweep_bound_seconds",
      "Time within which a change in Kinde shows without any webhook, what is overdue now included.",
      seconds(bound?.withinMs),
    ),
    gauge(
      "kindling_walk_bound_seconds",
      "Time within which a change of roles, permissions or plans shows without any webhook, what is overdue now included.",
      walkBounds,
    ),
    gauge("kindling_recent_users", "Recently active users, who are checked more often.", known(recent?.users)),
    gauge(
      "kindling_recent_bound_seconds",
      "Time within which a change of a recently active user shows without any webhook, as the last checks measured it.",
      seconds(recent?.withinMs),
    ),
    gauge(
      "kindling_index_lag_seconds",
      "Lag of Kinde's search that sweeps allow for: learned, or assumed.",
      seconds(bound?.lagMs),
    ),
    gauge("kindling_sweep_users", "Users compared by the last sweep.", known(sweep?.users)),
    gauge("kindling_sweep_different", "Users whose record differed in the last sweep.", known(sweep?.different)),
    gauge(
      "kindling_sweep_disputed",
      "Users that differed in the last sweep although they were fetched twice because of that.",
      known(sweep ? countDisputed(sweep.disputed) : undefined),
    ),
    gauge("kindling_sweep_missing", "Users without a record in the last sweep.", known(sweep?.missing)),
    gauge("kindling_audit_finished_timestamp_seconds", "When the last audit finished.", seconds(audit?.finishedAt)),
    gauge("kindling_audit_sample", "Records checked by the last audit.", known(audit?.checked)),
    gauge(
      "kindling_audit_drift_ratio",
      "Share of records in the last audit that differed from Kinde.",
      known(audit?.rate),
    ),
    counter("kindling_audit_checked_total", "Records checked by all audits.", [{ value: audits.checked }]),
    counter("kindling_audit_unsettled_total", "Records that changed too fast to compare, in all audits.", [
      { value: audits.unsettled },
    ]),
    counter("kindling_audit_failed_total", "Users that Kinde gave no answer about, in all audits.", [
      { value: audits.failed },
    ]),
    counter("kindling_audit_drift_total", "Records that differed from Kinde, in all audits, by cause.", drift),
  ];
}

function floodMetrics({ refusedRequests, droppedRefreshRequests }: Figures): Metric[] {
  const refused = Object.entries(refusedRequests).map(([kind, value]): Sample => {
    const colon = kind.lastIndexOf(":");
    return { labels: { route: kind.slice(0, colon), code: kind.slice(colon + 1) }, value };
  });
  const dropped = Object.entries(droppedRefreshRequests).map(([reason, value]) => ({ labels: { reason }, value }));
  return [
    counter("kindling_requests_refused_total", "Requests refused over HTTP, by route and code.", refused),
    counter("kindling_refresh_requests_dropped_total", "Refresh requests dropped, by reason.", dropped),
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

// An unknown value has no sample: 0 would be wrong.
function known(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }];
}

function seconds(ms: number | undefined): Sample[] {
  return known(ms === undefined ? undefined : ms / 1000);
}
