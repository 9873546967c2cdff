import { createHash } from "node:crypto";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { type SearchedUser, searchUsers } from "../kinde/search-users.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import type { FillPage } from "./fill-page.ts";
import { type CompareOptions, findDifference } from "./find-difference.ts";
import { bitsFor, type SeenUsers, type SweepMark } from "./seen-users.ts";

/** How far a sweep has come: all that is needed to go on after a crash, a deploy or a pause. */
export interface SweepState {
  mark: SweepMark;
  /** The sweep before, if it went through: users missing from both are looked at one by one. */
  previous: SweepMark | null;
  startedAt: number;
  /** `listing`: through Kinde's users. `unlisted`: through ours, for those that two sweeps did not list. */
  phase: "listing" | "unlisted";
  cursor: string | null;
  users: number;
  different: number;
  /** Of these, by the first field that differed; names only. Absent in one that an older version began. */
  fields?: Readonly<Record<string, number>>;
  missing: number;
  /** Whether users without a record get one from the page, which spares them two calls each: to fill an empty store. */
  fill: boolean;
  /** Of the missing, who got one so, or by others meanwhile. */
  filled: number;
  /** Of the missing, whose refresh gave up before: they are known by name, and nobody waits for them. */
  gaveUp: number;
  /** Different, but fetched so recently that the index is taken to lag. */
  doubted: number;
  unlisted: number;
}

/** One step of a sweep: the users to refresh, the state to go on with, and whether it is through. */
export interface SweepStep {
  refresh: string[];
  state: SweepState;
  done: boolean;
}

/** What a sweep needs. */
export interface SweepOptions extends CompareOptions {
  api: ManagementApi;
  records: Pick<Records, "readMany" | "scanIds">;
  fillPage: FillPage;
  ledger: Pick<Ledger, "gaveUp">;
  seen: SeenUsers;
  now: () => number;
  pageSize: number;
  indexLagMs: number;
  /** Age by which parts that the search does not show are fetched again, earliest at half of it; `undefined` where nothing needs them. */
  extrasMaxAgeMs: number | undefined;
}

/** What a sweep begins with. */
export interface BeginSweepOptions {
  number: number;
  previous: SweepState | undefined;
  now: number;
  fill: boolean;
}

/** The state a sweep begins with. */
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
 * Takes the next step of a sweep: compares one page of Kinde's users with their records, or looks over a page of ours
 * for users that two full sweeps in a row did not list. The search index may lag, so a difference is only a reason to
 * fetch that user: the direct fetch is the truth.
 */
export async function sweepStep(options: SweepOptions, state: SweepState, call: CallOptions): Promise<SweepStep> {
  return state.phase === "listing" ? listingStep(options, state, call) : unlistedStep(options, state);
}

async function listingStep(options: SweepOptions, state: SweepState, call: CallOptions): Promise<SweepStep> {
  const { api, records, seen, pageSize, ledger, fillPage } = options;
  const stamp = state.fill ? await fillPage.stamp() : undefined;
  const { users, unreadable, next } = await searchUsers(api, { after: state.cursor, pageSize }, call);
  const ids = [...users.map(({ id }) => id), ...unreadable];
  const [stored] = await Promise.all([records.readMany(ids), seen.add(state.mark, ids)]);
  const verdicts = ids.map((id, index) => judge(options, id, users[index], stored[index]));
  const idsOf = (sought: Verdict) => ids.filter((_, index) => verdicts[index]?.verdict === sought);
  const missing = idsOf("missing");
  const readable = users.filter((_, index) => verdicts[index]?.verdict === "missing");
  // Those whose entry makes no sense come last.
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
  /** What differs. */
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
  // What makes no sense may be anything.
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

/** Half of it to all of it, by the user: those who were fetched together must not all be due together. */
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
