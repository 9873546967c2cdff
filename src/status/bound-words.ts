import { walkKinds, walkWords } from "../sweep/walk-log.ts";
import { durationWords, plural } from "../words.ts";
import type { SweepStatus, WalkProgress } from "./read-status.ts";

/** How soon one kind of change shows without an event, in words for an operator. */
export interface BoundWords {
  /** `a change in Kinde` */
  change: string;
  /** `shows within 56 s`, or how far the first comparison is */
  shows: string;
  /** When it can take longer. */
  unless?: string;
}

/** Says how soon changes without an event show, as far as it is known at `now`, in milliseconds since the epoch. */
export function boundWords(
  { bound, recent, walks }: Pick<SweepStatus, "bound" | "recent" | "walks">,
  now: number,
): BoundWords[] {
  const rows: BoundWords[] = [];
  if (bound !== null) {
    const unless = `up to ${durationWords(bound.lagMs)} more while Kinde's search lags`;
    rows.push({ change: "a change in Kinde", shows: showsWithin(bound.withinMs), unless });
  }
  if (recent !== null)
    rows.push({ change: `of ${plural(recent.users, "recently active user")}`, shows: showsWithin(recent.withinMs) });
  for (const kind of walkKinds) {
    const { withinMs, current, last } = walks[kind] ?? { withinMs: null, current: null, last: null };
    const change = `a change of ${walkWords[kind]}`;
    if (withinMs !== null) rows.push({ change, shows: showsWithin(withinMs) });
    else if (current !== null && last === null) rows.push({ change, shows: firstWalkWords(current, now) });
  }
  return rows;
}

function showsWithin(ms: number): string {
  return `shows within ${durationWords(wholeSeconds(ms))}`;
}

function firstWalkWords({ startedAt, calls, compared }: WalkProgress, now: number): string {
  const effort = `${plural(compared, "user")} in ${plural(calls, "call")} and ${durationWords(now - startedAt)}`;
  return `known after the first comparison: ${effort} so far`;
}

/** Rounds a duration up, so that no bound is stated too short. */
export function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1_000) * 1_000;
}
