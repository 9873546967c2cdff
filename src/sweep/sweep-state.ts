import type { Trail } from "../kinde/paging.ts";
import type { ChangeMark } from "../redis/grant-changes.ts";
import type { GatherState } from "./gather-grants.ts";
import { type LagSample, nothingObserved } from "./index-lag.ts";
import { bitsFor, type SweepMark } from "./seen-users.ts";

/** Progress of a sweep: enough to resume after a crash, a deployment or a pause. */
export interface SweepState {
  mark: SweepMark;
  /** The previous completed sweep. Users missing from both listings are fetched individually. */
  previous: SweepMark | null;
  startedAt: number;
  /**
   * - `listing` pages through Kinde's users;
   * - `holding` counts how many of them the store holds, if the sweep fills;
   * - `counting` counts the records of users that two sweeps did not list, if another scan of the records is due;
   * - `unlisted` has those users refreshed, if they are few.
   */
  phase: "listing" | "holding" | "counting" | "unlisted";
  cursor: string | null;
  /** The Redis process that the cursor belongs to while records are scanned. */
  runId?: string;
  /** Detects a search that leads in circles. Absent before the second page and in sweeps of older releases. */
  trail?: Trail;
  /** Whether the listing of a filling sweep has ended once: its end counts when Kinde says so twice. */
  ended: boolean;
  users: number;
  different: number;
  /** Different users by the first field that differs; names only. Absent in sweeps of older releases. */
  fields?: Readonly<Record<string, number>>;
  /** The same for users that differ as before, although they were fetched twice because of that. Not among `different`. */
  disputed?: Readonly<Record<string, number>>;
  /** Users whose flags were derived again from their stored profile. */
  derived: number;
  missing: number;
  /** Missing users that were held when the store was found complete. */
  lost: number;
  /** When the store became complete, in milliseconds since the epoch; `null` if it was not when the sweep began. */
  completeSince: number | null;
  /** Whether to create missing records from the page. Saves two calls per user while an empty store is filled. */
  fill: boolean;
  /**
   * What a sweep that fills gathers before it lists users; `unavailable` if a scope is missing or Kinde does not answer.
   * Absent before that, and in sweeps that need none.
   */
  grants?: GatheringState | "unavailable";
  /** Attempts of a sweep that fills at its next step that Kinde left unanswered while it answered others. */
  unanswered?: number;
  /** Missing users that got a record from the page, or from elsewhere in the meantime. */
  filled: number;
  /** Missing users whose refresh gave up, or did not find them in Kinde. They do not hold up completeness. */
  gaveUp: number;
  /** Listed users that the store was found to hold after the listing. */
  held: number;
  /** Whether it held all of them. */
  verified: boolean;
  /** Users that differ but were fetched so recently that the search index probably lags. */
  doubted: number;
  /** How long the last scan of the records took that looked for users who are not listed. Milliseconds. */
  scanMs: number;
  /** When it ended, in milliseconds since the epoch; `null` before the first one. */
  scannedAt: number | null;
  /** Records that it looked at. */
  recorded: number;
  /** Recorded users that two sweeps did not list. */
  vanished: number;
  /** The same number if it is too high to act on; 0 otherwise. */
  heldBack: number;
  unlisted: number;
  /** Calls that the listing took. */
  calls: number;
  /** How much later than planned a page of a scheduled sweep came, at most. Milliseconds. */
  lateMs: number;
  /** The lag of the search that the sweep allows for, in milliseconds; `null`: the assumed one. */
  lagMs: number | null;
  aged: Aged;
  /** What the listing shows of that lag. */
  lag: LagSample;
}

/** What a sweep that fills has gathered, and when. */
export interface GatheringState {
  startedAt: number;
  /** Roles and permissions that changed after this are to be fetched. Absent in sweeps of older releases. */
  since?: ChangeMark;
  gathered: GatherState;
}

/** Whose parts that the search does not show a sweep has refreshed by age, because no walk has compared them lately. */
export interface Aged {
  members: boolean;
  customers: boolean;
  /** Of those, it takes the users whose turn comes after `from`, and at `to` or before. Milliseconds since the epoch. */
  from: number;
  to: number;
}

/** The value of {@link SweepState.aged} if nobody is refreshed by age. */
export const nobodyAged: Aged = { members: false, customers: false, from: 0, to: 0 };

/** Options for {@link beginSweep}. */
export interface BeginSweepOptions {
  number: number;
  previous: SweepState | undefined;
  now: number;
  fill: boolean;
  completeSince?: number | undefined;
  /** Default: nobody, and the next sweep takes the turns since the last one. */
  aged?: Aged;
  /** Default: the assumed lag. */
  lagMs?: number | undefined;
}

/** Returns the initial state of a sweep. */
export function beginSweep({ number, previous, now, fill, completeSince, lagMs, aged }: BeginSweepOptions): SweepState {
  const turnsTo = previous?.aged.to ?? now;
  return {
    mark: { number, bits: bitsFor(previous?.users ?? 0) },
    previous: previous?.mark ?? null,
    startedAt: now,
    phase: "listing",
    cursor: null,
    ended: false,
    users: 0,
    different: 0,
    fields: {},
    disputed: {},
    derived: 0,
    missing: 0,
    lost: 0,
    completeSince: completeSince ?? null,
    fill,
    filled: 0,
    gaveUp: 0,
    held: 0,
    verified: false,
    doubted: 0,
    scanMs: previous?.scanMs ?? 0,
    scannedAt: previous?.scannedAt ?? null,
    recorded: previous?.recorded ?? 0,
    vanished: previous?.vanished ?? 0,
    heldBack: previous?.heldBack ?? 0,
    unlisted: 0,
    calls: 0,
    lateMs: 0,
    lagMs: lagMs ?? null,
    aged: aged ?? { ...nobodyAged, from: turnsTo, to: turnsTo },
    lag: nothingObserved,
  };
}

/** Adds users to counts by field. */
export function countFields(before: Readonly<Record<string, number>> = {}, fields: readonly string[]) {
  const counts: Record<string, number> = { ...before };
  for (const field of fields) counts[field] = (counts[field] ?? 0) + 1;
  return counts;
}

/** Returns the number of disputed users. */
export function countDisputed(fields: SweepState["disputed"] = {}): number {
  return Object.values(fields).reduce((sum, count) => sum + count, 0);
}
