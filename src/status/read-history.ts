import type { History, HistoryPoint, HistorySpan } from "../redis/history.ts";
import { countedMeasures, gaugedMeasures, type Measure } from "./sample-history.ts";

/** What a chart can show: the history it is read from, and the time that one of its points covers. */
export const historyViews = {
  hour: { span: "day", points: 60, stepMs: 60_000 },
  day: { span: "day", points: 1_440, stepMs: 5 * 60_000 },
  fortnight: { span: "fortnight", points: 1_344, stepMs: 60 * 60_000 },
} as const satisfies Record<string, { span: HistorySpan; points: number; stepMs: number }>;
export type HistoryView = keyof typeof historyViews;

/** A history as columns. A value is `null` where none is known, so that a chart shows a gap. */
export interface HistoryColumns {
  /** Seconds since the epoch. */
  at: number[];
  /** Values by measure. Gauges: the highest. Counted figures: their increase per minute. */
  series: Record<string, (number | null)[]>;
}

const measures: readonly Measure[] = [...countedMeasures, ...gaugedMeasures];

/** Reads a history. Where processes were down for longer than two points, an empty point marks the gap. */
export async function readHistory(history: Pick<History, "latest">, view: HistoryView): Promise<HistoryColumns> {
  const { span, points: count, stepMs } = historyViews[view];
  // One more, from which the first increase is counted.
  const points = condense(await history.latest(span, count + 1), stepMs);
  const columns: HistoryColumns = { at: [], series: Object.fromEntries(measures.map((name) => [name, []])) };
  const add = (time: number, value: (name: Measure) => number | null) => {
    columns.at.push(time / 1000);
    for (const name of measures) columns.series[name]?.push(value(name));
  };
  let previous: HistoryPoint | undefined;
  for (const point of points) {
    const before = previous;
    previous = point;
    if (before === undefined) continue;
    const isGap = point.at - before.at > 2.5 * stepMs;
    if (isGap) add(before.at + stepMs, () => null);
    add(point.at, (name) =>
      isCounted(name) ? (isGap ? null : increase(before, point, name)) : (point.values[name] ?? null),
    );
  }
  return columns;
}

/** Merges points of the same step. */
function condense(points: readonly HistoryPoint[], stepMs: number): HistoryPoint[] {
  const merged: HistoryPoint[] = [];
  for (const point of points) {
    const last = merged.at(-1);
    if (last === undefined || Math.floor(point.at / stepMs) !== Math.floor(last.at / stepMs)) merged.push(point);
    else merged[merged.length - 1] = { at: point.at, values: mergeValues(last.values, point.values) };
  }
  return merged;
}

function mergeValues(earlier: HistoryPoint["values"], later: HistoryPoint["values"]): HistoryPoint["values"] {
  const highest = gaugedMeasures.flatMap((name) => {
    const values = [earlier[name], later[name]].filter((value) => value !== undefined);
    return values.length === 0 ? [] : [[name, Math.max(...values)] as const];
  });
  return { ...later, ...Object.fromEntries(highest) };
}

function isCounted(name: Measure): boolean {
  return (countedMeasures as readonly string[]).includes(name);
}

function increase(before: HistoryPoint, { at, values }: HistoryPoint, name: Measure): number | null {
  const [from, to] = [before.values[name], values[name]];
  // A wiped store counts from 0 again.
  if (from === undefined || to === undefined || to < from) return null;
  return ((to - from) / (at - before.at)) * 60_000;
}
