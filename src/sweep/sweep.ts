import { createHash } from "node:crypto";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { type SearchedUser, searchUsers } from "../kinde/search-users.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import type { FillPage } from "./fill-page.ts";
import { type CompareOptions, findDifference } from "./find-difference.ts";
import { bitsFor, type SeenUsers, type SweepMark } from "./seen-users.ts";

/** Progress of a sweep: enough to resume after a crash, a deployment or a pause. */
export interface SweepState {
  mark: SweepMark;
  /** The previous completed sweep. Users missing from both listings are fetched individually. */
  previous: SweepMark | null;
  startedAt: number;
  /** `listing` pages through Kinde's users; `unlisted` scans our records for users that two sweeps did not list. */
  phase: "listing" | "unlisted";
  cursor: string | null;
  users: number;
  different: number;
  /** Different users by the first field that differs; names only. Absent in sweeps of older releases. */
  fields?: Readonly<Record<string, number>>;
  missing: number;
  /** Whether to create missing records from the page. Saves two calls per user while an empty store is filled. */
  fill: boolean;
  /** Missing users that got a record from the page, or from elsewhere in the meantime. */
  filled: number;
  /** Missing users whose refresh gave up. They are listed as failures and do not hold up completeness. */
  gaveUp: number;
  /** Users that differ but were fetched so recently that the search index probably lags. */
  doubted: number;
  unlisted: number;
}

/** Result of one step: the users to refresh, the next state, and whether the sweep is complete. */
export interface SweepStep {
  refresh: string[];
  state: SweepState;
  done: boolean;
}

/** Dependencies of {@link sweepStep}. */
export interface SweepOptions extends CompareOptions {
  api: ManagementApi;
  records: Pick<Records, "readMany" | "scanIds">;
  fillPage: FillPage;
  ledger: Pick<Ledger, "gaveUp">;
  seen: SeenUsers;
  /** Looks for changes of these organizations, for which Kinde sends no event. */
  recheckOrganizations: (codes: Iterable<string>, call: CallOptions) => Promise<void>;
  now: () => number;
  pageSize: number;
  indexLagMs: number;
  /**
   * Maximum age of profile parts that the search does not return, in milliseconds. Users are fetched again between half
   * of it and all of it. `undefined` if no flag or kept part needs them.
   */
  extrasMaxAgeMs: number | undefined;
}

/** Options for {@link beginSweep}. */
export interface BeginSweepOptions {
  number: number;
  previous: SweepState | undefined;
  now: number;
  fill: boolean;
}

/** Returns the initial state of a sweep. */
export function beginSweep({ number, previous, now, fill }: BeginSweepOptions): SweepState {
  return {
    mark: { number, bits: bitsFor(previous?.users ?? 0) },
    previous: previous?.mark ?? null,
    startedAt: now,
    phase: "listing",
    cursor: null,
    users: 0,
    different: 0,
    fields: {},
    missing: 0,
    fill,
    filled: 0,
    gaveUp: 0,
    doubted: 0,
    unlisted: 0,
  };
}

/**
 * Runs the next step of a sweep: compares one page of Kinde's users with their records, or scans one page of records
 * for users that two consecutive sweeps did not list. The search index lags, so a difference only leads to a refresh:
 * the direct fetch is authoritative.
 */
export async function sweepStep(options: SweepOptions, state: SweepState, call: CallOptions): Promise<SweepStep> {
  return state.phase === "listing" ? listingStep(options, state, call) : unlistedStep(options, state);
}

async function listingStep(options: SweepOptions, state: SweepState, call: CallOptions): Promise<SweepStep> {
  const { api, records, seen, pageSize, ledger, fillPage } = options;
  const stamp = state.fill ? await fillPage.stamp() : undefined;
  const { users, unreadable, next } = await searchUsers(api, { after: state.cursor, pageSize }, call);
  await options.recheckOrganizations(new Set(users.flatMap(({ organizations }) => organizations)), call);
  const ids = [...users.map(({ id }) => id), ...unreadable];
  const [stored] = await Promise.all([records.readMany(ids), seen.add(state.mark, ids)]);
  const verdicts = ids.map((id, index) => judge(options, id, users[index], stored[index]));
  const idsOf = (wanted: Verdict) => ids.filter((_, index) => verdicts[index]?.verdict === wanted);
  const missing = idsOf("missing");
  const readable = users.filter((_, index) => verdicts[index]?.verdict === "missing");
  // Users with unreadable entries are last in `ids`.
  const unfilled = stamp
    ? [...(await fillPage.commit(readable, stamp, call)), ...missing.slice(readable.length)]
    : missing;
  const different = idsOf("different");
  const refresh = [...different, ...idsOf("aged"), ...unfilled];
  const listed: SweepState = {
    ...state,
    cursor: next,
    users: state.users + ids.length,
    different: state.different + different.length,
    fields: countFields(state.fields, verdicts),
    missing: state.missing + missing.length,
    filled: state.filled + missing.length - unfilled.length,
    gaveUp: state.gaveUp + (await ledger.gaveUp(unfilled)),
    doubted: state.doubted + idsOf("doubted").length,
  };
  if (next !== null) return { refresh, state: listed, done: false };
  return { refresh, state: { ...listed, phase: "unlisted", cursor: "0" }, done: state.previous === null };
}

type Verdict = "same" | "different" | "missing" | "doubted" | "aged";

interface Judgement {
  verdict: Verdict;
  /** The first field that differs. */
  field?: string;
}

function judge(
  options: SweepOptions,
  userId: string,
  user: SearchedUser | undefined,
  stored: Awaited<ReturnType<Records["readMany"]>>[number] | undefined,
): Judgement {
  const { now, indexLagMs, extrasMaxAgeMs } = options;
  if (stored?.flags === undefined) return { verdict: "missing" };
  const age = now() - stored.flags.fetchedAt;
  const differs = (field: string): Judgement =>
    age < indexLagMs ? { verdict: "doubted" } : { verdict: "different", field };
  // An unreadable entry cannot be compared.
  if (user === undefined) return differs("unreadable");
  const field = findDifference(stored, user, options);
  if (field !== undefined) return differs(field);
  const hasExtras = user.organizations.length > 0 || Boolean(stored.profile?.billing.customerId);
  const aged = hasExtras && extrasMaxAgeMs !== undefined && age > extrasMaxAgeMs * shareOf(userId);
  return { verdict: aged ? "aged" : "same" };
}

function countFields(before: SweepState["fields"], found: readonly Judgement[]): Record<string, number> {
  const counts: Record<string, number> = { ...before };
  for (const { verdict, field } of found) {
    if (verdict === "different" && field !== undefined) counts[field] = (counts[field] ?? 0) + 1;
  }
  return counts;
}

/** Returns 0.5 to 1, fixed per user, so that users fetched together do not all expire together. */
function shareOf(userId: string): number {
  return 0.5 + createHash("sha1").update(userId).digest().readUInt32BE() / 2 ** 33;
}

async function unlistedStep({ records, seen }: SweepOptions, state: SweepState): Promise<SweepStep> {
  const { previous, mark } = state;
  const page = await records.scanIds(state.cursor ?? "0", 1_000);
  const missedNow = await seen.missing(mark, page.userIds);
  const missedTwice = previous === null ? [] : await seen.missing(previous, missedNow);
  return {
    refresh: missedTwice,
    state: { ...state, cursor: page.cursor, unlisted: state.unlisted + missedTwice.length },
    done: page.cursor === "0",
  };
}
