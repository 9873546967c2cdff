import type { Definitions } from "kindling";
import { accountTime, type FlagsRecord, fetchAge } from "kindling/contract";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { StoredRecord } from "../redis/records.ts";
import { compareFlags, type DerivedValues } from "./compare-flags.ts";
import { type CompareOptions, findDifference } from "./find-difference.ts";

/** What a sweep does about a listed user. */
export type Judgement =
  | { verdict: "same" | "missing" | "doubted" | "disputed" }
  /** The record differs from the page; `field` is the first field that does. */
  | { verdict: "different"; field: string }
  /** The record's own profile gives other flags under the current definitions. */
  | ({ verdict: "derived"; record: FlagsRecord } & DerivedValues);

/** Options for {@link judgeUser}. */
export interface JudgeOptions extends CompareOptions {
  definitions: Definitions;
  now: () => number;
  indexLagMs: number;
}

/**
 * Judges one listed user.
 *
 * @param searched `undefined` if the page's entry is unreadable
 * @param disputed Whether to leave aside that the record differs from the page. What there is to do else is still found
 */
export function judgeUser(
  options: JudgeOptions,
  searched: SearchedUser | undefined,
  { flags: record, profile }: StoredRecord,
  disputed = false,
): Judgement {
  if (record === undefined) return { verdict: "missing" };
  const accountAge = fetchAge(accountTime(record), options.now());
  // The search index lags behind a record this young.
  const differs = (field: string): Judgement => {
    if (disputed) return { verdict: "disputed" };
    return accountAge < options.indexLagMs ? { verdict: "doubted" } : { verdict: "different", field };
  };
  if (searched === undefined) return differs("unreadable");
  try {
    const field = disputed ? undefined : findDifference({ flags: record, profile }, searched, options);
    if (field !== undefined || profile === undefined) return differs(field ?? "profile missing");
    const flags = compareFlags(options.definitions, record, profile, searched);
    if (flags.verdict === "different") return differs(flags.field);
    return flags.verdict === "derived" ? { ...flags, record } : flags;
  } catch {
    // Nothing known throws. If something does, a fetch decides, and the sweep goes on to the others.
    return differs("not comparable");
  }
}
