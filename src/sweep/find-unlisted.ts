import type { Absences } from "../redis/absences.ts";
import { type Records, scanStart } from "../redis/records.ts";
import type { Disputes } from "./disputes.ts";
import { shortestIntervalMs } from "./pace.ts";
import type { SeenUsers } from "./seen-users.ts";
import { countFields, type SweepState } from "./sweep-state.ts";

/** Dependencies of {@link countUnlistedStep} and {@link findUnlistedStep}. */
export interface FindUnlistedOptions {
  records: Pick<Records, "scanIds">;
  seen: Pick<SeenUsers, "exists" | "missing">;
  disputes: Disputes;
  absences: Pick<Absences, "noted">;
}

type ScanOptions = Pick<FindUnlistedOptions, "records" | "seen">;

const scanCount = 1_000;
/** The pause after a scan is this many times its duration: Redis goes through all keys, those of other applications too. */
const pauseFactor = 20;
/** Longest pause after a scan of the records, in milliseconds. */
export const longestPauseMs = 900_000;

/** Returns whether the records can be scanned again for users who are not listed. */
export function isScanDue({ scanMs, scannedAt }: Pick<SweepState, "scanMs" | "scannedAt">, now: number): boolean {
  const pauseMs = Math.min(longestPauseMs, pauseFactor * scanMs);
  // Scheduled sweeps keep such a pause anyway.
  if (scannedAt === null || pauseMs <= shortestIntervalMs) return true;
  return Math.abs(now - scannedAt) >= pauseMs;
}

/**
 * Returns how many users can be missing from two sweeps before the listing is doubted instead: a search that answers with
 * too few users must not have most of the store fetched, let alone buried.
 */
export function mostUnlisted(held: number): number {
  return Math.max(20, held / 100);
}

/**
 * Counts the users on one page of records that two consecutive sweeps did not list.
 *
 * @returns the next state, and whether to look for them or to end the sweep; `undefined` while the count goes on
 */
export async function countUnlistedStep(
  options: ScanOptions,
  state: SweepState,
): Promise<{ state: SweepState; next: "find" | "end" | undefined }> {
  if (!(await filtersExist(options, state))) return { state, next: "end" };
  const page = await scanUnlisted(options, state);
  if (page === undefined) return { state: { ...state, cursor: "0" }, next: undefined };
  const { cursor, runId, scanned, unlisted } = page;
  const before = state.cursor === scanStart.cursor ? { recorded: 0, vanished: 0 } : state;
  const recorded = before.recorded + scanned;
  const vanished = before.vanished + unlisted.length;
  const counted = { ...state, recorded, vanished, heldBack: 0, cursor, runId };
  if (cursor !== "0") return { state: counted, next: undefined };
  if (vanished > mostUnlisted(recorded)) return { state: { ...counted, heldBack: vanished }, next: "end" };
  return { state: counted, next: vanished > 0 ? "find" : "end" };
}

/** Returns the users to fetch on one page of records, because two consecutive sweeps did not list them. */
export async function findUnlistedStep(
  options: FindUnlistedOptions,
  state: SweepState,
): Promise<{ refresh: string[]; state: SweepState; over: boolean }> {
  if (!(await filtersExist(options, state))) return { refresh: [], state, over: true };
  const page = await scanUnlisted(options, state);
  if (page === undefined) return { refresh: [], state: { ...state, unlisted: 0, cursor: "0" }, over: false };
  const { cursor, runId, unlisted } = page;
  // A fetch decides whether they are deleted, and takes several looks. If Kinde has them, the search omits them for good.
  const absent = await options.absences.noted(unlisted);
  const { refresh, disputed } = await options.disputes.settle(
    unlisted.map((userId) => ({ userId, different: !absent.has(userId) })),
  );
  const found: SweepState = {
    ...state,
    cursor,
    runId,
    unlisted: state.unlisted + unlisted.length,
    disputed: countFields(
      state.disputed,
      disputed.map(() => "not listed"),
    ),
  };
  return { refresh: [...absent, ...refresh], state: found, over: cursor === "0" };
}

// A filter that was lost with its Redis would make everybody look unlisted.
async function filtersExist(
  { seen }: Pick<FindUnlistedOptions, "seen">,
  { mark, previous }: SweepState,
): Promise<boolean> {
  return previous !== null && (await seen.exists(previous)) && seen.exists(mark);
}

/** Returns `undefined` if another Redis process has taken over, which the cursor means nothing to: scan again. */
async function scanUnlisted({ records, seen }: ScanOptions, state: SweepState) {
  const { mark, previous, cursor, runId } = state;
  const page = await records.scanIds({ cursor: cursor ?? scanStart.cursor, runId }, scanCount);
  if (page.beganAgain) return undefined;
  const missedNow = await seen.missing(mark, page.userIds);
  const unlisted = previous === null ? [] : await seen.missing(previous, missedNow);
  return { cursor: page.cursor, runId: page.runId, scanned: page.userIds.length, unlisted };
}
