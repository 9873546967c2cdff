import { historySpans } from "../redis/history.ts";
import { readMemory } from "../redis/memory.ts";
import type { Store } from "../store.ts";
import { type Figures, readFigures, type StatusSettings } from "./read-status.ts";

/** Figures that are counted up: a chart shows their increase per minute. */
export const countedMeasures = [
  "events",
  "refreshes",
  "refreshErrors",
  "readable",
  "within1s",
  "within10s",
  "within60s",
  "calls",
  "callsLimited",
  "callsFailed",
] as const;

/** Figures that go up and down. */
export const gaugedMeasures = [
  "outstanding",
  "oldestMs",
  "failed",
  "waiting",
  "pausedMs",
  "records",
  "drift",
  "memory",
] as const;

export type Measure = (typeof countedMeasures)[number] | (typeof gaugedMeasures)[number];

/**
 * Adds a point to the history of the last day once a minute, and to that of the last 14 days once a quarter of an hour.
 * Any number of processes can call it at any interval.
 */
export async function sampleHistory(store: Store, settings: StatusSettings, now: number): Promise<void> {
  // Redis' clock, as the processes share the points.
  const time = await store.ledger.clock();
  const minute = Math.floor(time / historySpans.day.stepMs) * historySpans.day.stepMs;
  if ((await store.history.lastAt("day")) >= minute) return;
  await store.history.add("day", { at: minute, values: await measure(store, settings, now) });
  await addQuarter(store, minute);
}

/** Gauges keep their highest value of the quarter, so that a short peak does not vanish from the chart. */
async function addQuarter({ history }: Pick<Store, "history">, minute: number): Promise<void> {
  const { stepMs } = historySpans.fortnight;
  const quarter = Math.floor(minute / stepMs) * stepMs;
  if ((await history.lastAt("fortnight")) >= quarter) return;
  const points = (await history.latest("day", stepMs / historySpans.day.stepMs)).filter(
    ({ at }) => at > quarter - stepMs && at <= quarter,
  );
  const last = points.at(-1) ?? (await history.latest("day", 1))[0];
  if (last === undefined) return;
  const highest = gaugedMeasures.flatMap((name) => {
    const values = points.flatMap(({ values }) => values[name] ?? []);
    return values.length === 0 ? [] : [[name, Math.max(...values)] as const];
  });
  await history.add("fortnight", { at: quarter, values: { ...last.values, ...Object.fromEntries(highest) } });
}

/** Outcomes of a refresh that did not end in an error. */
const finished: ReadonlySet<string> = new Set(["committed", "reflected", "superseded", "deleted", "absent", "unknown"]);

async function measure(store: Store, settings: StatusSettings, now: number): Promise<Record<Measure, number>> {
  const [figures, activity, memory] = await Promise.all([
    readFigures(store, settings, now),
    store.activity.read(),
    readMemory(...new Set([store.publicRedis, store.redis])),
  ]);
  const { ledger, queues, calls, records, freshness } = figures;
  const { ever } = freshness.readable;
  const within = (share: number | null) => Math.round((share ?? 0) * ever.events);
  return {
    events: countEvents(figures),
    refreshes: sum(activity.refreshes, ({ outcome }) => finished.has(outcome)),
    refreshErrors: sum(activity.refreshes, ({ outcome }) => !finished.has(outcome)),
    readable: ever.events,
    within1s: within(ever.within1s),
    within10s: within(ever.within10s),
    within60s: within(ever.within60s),
    calls: sum(activity.calls, () => true),
    callsLimited: sum(activity.calls, ({ status }) => status === "429"),
    callsFailed: sum(activity.calls, ({ status }) => status === "failed" || /^5/.test(status)),
    outstanding: ledger.users.size + ledger.fanouts.size,
    oldestMs: Math.round(Math.max(ledger.users.oldestAgeMs, ledger.fanouts.oldestAgeMs)),
    failed: ledger.users.failed + ledger.fanouts.failed,
    waiting: Object.values(queues).reduce((total, { waiting, delayed }) => total + waiting + delayed, 0),
    pausedMs: Math.round(calls.pausedMs),
    records: records.present,
    drift: freshness.audit?.rate ?? 0,
    memory: memory.used,
  };
}

function countEvents({ events: { duplicate: _duplicate, ...groups } }: Figures): number {
  return Object.values(groups)
    .flatMap((types) => (typeof types === "number" ? [] : Object.values(types)))
    .reduce((total, count) => total + count, 0);
}

function sum<Counted extends { count: number }>(counts: readonly Counted[], which: (counted: Counted) => boolean) {
  return counts.filter(which).reduce((total, { count }) => total + count, 0);
}
