import type { Records } from "../redis/records.ts";
import type { SeenUsers } from "./seen-users.ts";
import type { SweepState } from "./sweep-state.ts";

/** Dependencies of {@link countUnlistedStep} and {@link findUnlistedStep}. */
export interface FindUnlistedOptions {
  records: Pick<Records, "scanIds">;
  seen: Pick<SeenUsers, "exists" | "missing">;
}

const scanCount = 1_000;

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
  options: FindUnlistedOptions,
  state: SweepState,
): Promise<{ state: SweepState; next: "find" | "end" | undefined }> {
  if (!(await filtersExist(options, state))) return { state, next: "end" };
  const { cursor, scanned, unlisted } = await scanUnlisted(options, state);
  const recorded = state.recorded + scanned;
  const vanished = state.vanished + unlisted.length;
  const counted = { ...state, recorded, vanished, cursor };
  if (cursor !== "0") return { state: counted, next: undefined };
  if (vanished > mostUnlisted(recorded)) return { state: { ...counted, heldBack: vanished }, next: "end" };
  return { state: counted, next: vanished > 0 ? "find" : "end" };
}

/** Returns the users on one page of records that two consecutive sweeps did not list. */
export async function findUnlistedStep(
  options: FindUnlistedOptions,
  state: SweepState,
): Promise<{ refresh: string[]; state: SweepState; over: boolean }> {
  if (!(await filtersExist(options, state))) return { refresh: [], state, over: true };
  const { cursor, unlisted } = await scanUnlisted(options, state);
  const found = { ...state, cursor, unlisted: state.unlisted + unlisted.length };
  return { refresh: unlisted, state: found, over: cursor === "0" };
}

// A filter that was lost with its Redis would make everybody look unlisted.
async function filtersExist({ seen }: FindUnlistedOptions, { mark, previous }: SweepState): Promise<boolean> {
  return previous !== null && (await seen.exists(previous)) && seen.exists(mark);
}

async function scanUnlisted({ records, seen }: FindUnlistedOptions, { mark, previous, cursor }: SweepState) {
  const page = await records.scanIds(cursor ?? "0", scanCount);
  const missedNow = await seen.missing(mark, page.userIds);
  const unlisted = previous === null ? [] : await seen.missing(previous, missedNow);
  return { cursor: page.cursor, scanned: page.userIds.length, unlisted };
}
