import { z } from "zod";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { storedShape } from "./stored.ts";

/** Values by the name of the figure, at one time. */
export interface HistoryPoint {
  /** Milliseconds since the epoch. */
  at: number;
  values: Readonly<Record<string, number>>;
}

/** How far back a history goes, and the time between two of its points. */
export const historySpans = {
  day: { stepMs: 60_000, points: 24 * 60 },
  fortnight: { stepMs: 15 * 60_000, points: 14 * 24 * 4 },
} as const;
export type HistorySpan = keyof typeof historySpans;

/** Figures over time: of the last day by the minute, and of the last 14 days by the quarter of an hour. */
export interface History {
  /** Returns the time of the latest point, 0 without one. */
  lastAt(span: HistorySpan): Promise<number>;
  /** Adds a point. Does nothing if a process has added one for that time. */
  add(span: HistorySpan, point: HistoryPoint): Promise<void>;
  /** Returns the latest points, oldest first. */
  latest(span: HistorySpan, count: number): Promise<HistoryPoint[]>;
}

// Names differ between releases, so any are read.
const storedPoint = storedShape<Pick<HistoryPoint, "values">>(
  1,
  z.object({ values: z.record(z.string(), z.number()) }),
);

/** Opens the history. The time of a point is the id of its entry in a stream, so that each is added once. */
export function createHistory({ redis, keys }: { redis: RedisClient; keys: Pick<Keys, "history"> }): History {
  const parse = (entries: [string, string[]][]): HistoryPoint[] =>
    entries.flatMap(([id, [, text]]) => {
      const point = storedPoint.parse(text);
      return point === undefined ? [] : [{ at: Number(id.split("-")[0]), ...point }];
    });
  const latest = async (span: HistorySpan, count: number) =>
    parse(await redis.xrevrange(keys.history(span), "+", "-", "COUNT", count)).reverse();
  return {
    async lastAt(span) {
      return (await latest(span, 1))[0]?.at ?? 0;
    },
    async add(span, { at, values }) {
      const { points } = historySpans[span];
      const entry = ["p", storedPoint.serialize({ values })];
      try {
        await redis.xadd(keys.history(span), "MAXLEN", "~", points, `${at}-1`, ...entry);
      } catch (error) {
        if (!(error instanceof Error) || !error.message.includes("equal or smaller")) throw error;
      }
    },
    latest,
  };
}
