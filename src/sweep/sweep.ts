import { KindeError } from "../errors.ts";
import { parseInstant } from "../kinde/answers.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { follow } from "../kinde/paging.ts";
import { type SearchedUser, searchUsers } from "../kinde/search-users.ts";
import type { Absences } from "../redis/absences.ts";
import type { GrantChanges } from "../redis/grant-changes.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records, StoredRecord } from "../redis/records.ts";
import type { AcknowledgeUsers } from "../refresh/acknowledge-users.ts";
import { ticketOfLists } from "../refresh/keep-extras.ts";
import { type IsAgedOptions, isAged } from "./aged.ts";
import type { Completeness } from "./completeness.ts";
import { countHeldStep, countUnheld } from "./count-held.ts";
import type { Disputes } from "./disputes.ts";
import type { FillPage, GatheredGrants, Stamp } from "./fill-page.ts";
import { comparedOf } from "./find-difference.ts";
import { countUnlistedStep, findUnlistedStep, isScanDue } from "./find-unlisted.ts";
import { beginGathering, type GrantPart, GrantsLost, gatherStep } from "./gather-grants.ts";
import { type GrantIndex, holdsAny } from "./grant-index.ts";
import { addSamples, sampleLag } from "./index-lag.ts";
import { type Judgement, type JudgeOptions, judgeUser } from "./judge-user.ts";
import type { ListedUsers } from "./listed-users.ts";
import type { SeenUsers } from "./seen-users.ts";
import { countFields, type GatheringState, type SweepState } from "./sweep-state.ts";
import { attemptPauseMs, isHopeless } from "./unanswered.ts";

/** Result of one step: the users to refresh, the next state, and whether the sweep is complete. */
export interface SweepStep {
  refresh: string[];
  /** Users who differ in what the search shows: it has neither roles nor permissions nor plans, so those can be kept. */
  changed?: string[];
  state: SweepState;
  done: boolean;
  /** Milliseconds until the next step, because Kinde left this one unanswered. */
  waitMs?: number;
}

/** Dependencies of {@link sweepStep}. */
export interface SweepOptions extends JudgeOptions, Omit<IsAgedOptions, "aged"> {
  api: ManagementApi;
  records: Pick<Records, "readMany" | "replaceFlags" | "tickets" | "scanIds">;
  fillPage: FillPage;
  ledger: Pick<Ledger, "gaveUp">;
  absences: Pick<Absences, "countUnknown" | "noted">;
  seen: Pick<SeenUsers, "add" | "exists" | "missing">;
  grantIndex: GrantIndex;
  grantChanges: Pick<GrantChanges, "mark" | "since">;
  acknowledge: AcknowledgeUsers;
  /** Listings that complete the records of members; none if no flag or kept part needs them. */
  grantParts: readonly GrantPart[];
  listed: ListedUsers;
  completeness: Pick<Completeness, "beginCount">;
  disputes: Disputes;
  /** Looks for changes of these organizations, for which Kinde sends no event. */
  recheckOrganizations: (codes: Iterable<string>, call: CallOptions) => Promise<void>;
  pageSize: number;
}

/**
 * Runs the next step of a sweep: one page of one of its {@link SweepState.phase | phases}. The search index lags, so a
 * difference only leads to a refresh: the direct fetch is authoritative.
 */
export async function sweepStep(options: SweepOptions, state: SweepState, call: CallOptions): Promise<SweepStep> {
  switch (state.phase) {
    case "listing":
      return listingStep(options, state, call);
    case "holding": {
      if (state.cursor === null) await options.completeness.beginCount(state.mark.number);
      const { state: next, over } = await countHeldStep(options, state);
      return over ? afterHolding(options, next) : { refresh: [], state: next, done: false };
    }
    case "counting":
    case "unlisted":
      return scanningStep(options, state);
  }
}

async function scanningStep(options: SweepOptions, before: SweepState): Promise<SweepStep> {
  const isFirst = before.phase === "counting" && before.cursor === "0";
  const began = performance.now();
  const step = await (before.phase === "counting" ? countingStep : unlistedStep)(options, before);
  const scanMs = (isFirst ? 0 : before.scanMs) + Math.round(performance.now() - began);
  return { ...step, state: { ...step.state, scanMs, ...(step.done && { scannedAt: options.now() }) } };
}

async function countingStep(options: SweepOptions, before: SweepState): Promise<SweepStep> {
  const { state, next } = await countUnlistedStep(options, before);
  if (next !== "find") return { refresh: [], state, done: next === "end" };
  return { refresh: [], state: { ...state, phase: "unlisted", cursor: "0" }, done: false };
}

async function unlistedStep(options: SweepOptions, before: SweepState): Promise<SweepStep> {
  const { refresh, state, over } = await findUnlistedStep(options, before);
  return { refresh, state, done: over };
}

async function listingStep(options: SweepOptions, before: SweepState, call: CallOptions): Promise<SweepStep> {
  const { unanswered = 0, ...state } = { ...before, calls: before.calls + 1 };
  const attempts = unanswered + 1;
  const again: SweepStep = {
    refresh: [],
    state: { ...state, unanswered: attempts },
    done: false,
    waitMs: attemptPauseMs,
  };
  if (isGathering(state.grants)) {
    const grants = await gatherNext(options, state.grants, attempts, call);
    return grants === undefined ? again : { refresh: [], state: { ...state, grants }, done: false };
  }
  const { api, records, seen, listed, pageSize, fillPage } = options;
  const stamp = state.fill ? await fillPage.stamp() : undefined;
  const { users, unreadable, next, calls } = await searchUsers(api, { after: state.cursor, pageSize }, call);
  await options.recheckOrganizations(new Set(users.flatMap(({ organizations }) => organizations)), call);
  const ids = [...users.map(({ id }) => id), ...unreadable];
  if (next === null && state.fill && !state.ended)
    return { refresh: [], state: { ...state, ended: true }, done: false };
  const [stored] = await Promise.all([
    records.readMany(ids),
    seen.add(state.mark, ids),
    state.fill ? listed.remember(state.mark, state.cursor, { ids, next }) : undefined,
  ]);
  const judgeOptions = { ...options, indexLagMs: state.lagMs ?? options.indexLagMs };
  const compared = ids.map((id, index) => {
    const record = stored[index] ?? { flags: undefined, profile: undefined };
    return { id, user: users[index], record, judgement: judgeUser(judgeOptions, users[index], record) };
  });
  const { changed, disputed, different } = await settle(options, compared);
  const due = new Set(changed);
  const judged: Judged[] = compared.map(({ id, user, record, judgement }) => {
    const isQuiet = judgement.verdict === "different" && !due.has(id);
    return { id, user, ...(isQuiet ? judgeUser(judgeOptions, user, record, true) : judgement) };
  });
  const idsOf = (wanted: Judgement["verdict"]) => judged.flatMap(({ id, verdict }) => (verdict === wanted ? [id] : []));
  const missing = judged.filter(({ verdict }) => verdict === "missing");
  const readable = missing.flatMap(({ user }) => user ?? []);
  let unfilled = missing.map(({ id }) => id);
  if (stamp) {
    if (state.grants === undefined && isWorthGathering(options, readable, stamp)) {
      return { refresh: [], state: { ...before, grants: await beginGrants(options, state.mark) }, done: false };
    }
    const gathered = await readGrants(options, state, readable);
    // Redis lost what was gathered: gather it again, then take this page again. An interrupted step can have written it.
    if (gathered === "lost") {
      await refreshOutdated(options, state, ids);
      return { refresh: [], state: withoutGrants(before), done: false };
    }
    const rest = await fillPage.commit(readable, asOf(stamp, state), call, gathered).catch(async (error: unknown) => {
      if (!(error instanceof KindeError) || error.code !== "kinde_unavailable") throw error;
      // The refreshes report the failure.
      return (await isHopeless(error, attempts, { api, call })) ? readable.map(({ id }) => id) : undefined;
    });
    if (rest === undefined) return again;
    await refreshOutdated(options, state, ids);
    unfilled = [...rest, ...missing.flatMap(({ id, user }) => (user ? [] : [id]))];
  }
  const lost = readable.filter((user) => wasHeld(options, state, user)).map(({ id }) => id);
  const paged: SweepState = {
    ...state,
    cursor: next,
    ended: false,
    ...(next !== null && { trail: follow(state.trail, next, { route: "GET /api/v1/search/users" }) }),
    calls: before.calls + calls,
    users: state.users + ids.length,
    different: state.different + different.length,
    fields: countFields(state.fields, different),
    disputed: countFields(state.disputed, disputed),
    derived: state.derived + (await replaceFlags(options, judged)),
    missing: state.missing + missing.length,
    lost: state.lost + lost.length - (await countUnheld(options, lost)),
    filled: state.filled + missing.length - unfilled.length,
    gaveUp: state.gaveUp + (await countUnheld(options, unfilled)),
    doubted: state.doubted + idsOf("doubted").length,
    lag: observeLag(options, state.lag, users, stored),
  };
  const ageOptions = { ...options, aged: state.aged };
  const aged = new Set(
    compared.flatMap(({ id, user, record }) => (user !== undefined && isAged(ageOptions, user, record) ? id : [])),
  );
  const found = { changed: changed.filter((id) => !aged.has(id)), refresh: [...aged, ...unfilled] };
  if (next !== null) return { ...found, state: paged, done: false };
  if (isGathered(state.grants)) await options.grantIndex.forget(fillKind, state.grants.gathered.mark);
  if (state.fill) return { ...found, state: { ...paged, phase: "holding", cursor: null }, done: false };
  return { ...afterHolding(options, paged), ...found };
}

/** Names the index of a sweep that fills. */
const fillKind = "fill";
/** Users that the index expects: a store that is filled does not know yet. */
const usersExpected = 500_000;

/** Members without a record on one page that are cheaper fetched one by one. */
const fewMembers = 20;

function isGathering(grants: SweepState["grants"]): grants is GatheringState {
  return grants !== undefined && grants !== "unavailable" && grants.gathered.phase !== "gathered";
}

function isGathered(grants: SweepState["grants"]): grants is GatheringState {
  return grants !== undefined && grants !== "unavailable" && grants.gathered.phase === "gathered";
}

function isWorthGathering(
  { grantParts, fillPage }: SweepOptions,
  missing: readonly SearchedUser[],
  stamp: Stamp,
): boolean {
  const members = missing.filter(({ organizations }) => organizations.length > 0);
  return grantParts.length > 0 && members.length > fewMembers && fillPage.needsGrants(members, stamp);
}

async function beginGrants(
  { grantParts, grantChanges, fillPage }: SweepOptions,
  { number }: { number: number },
): Promise<GatheringState> {
  const since = await grantChanges.mark();
  const { fetchedAt: startedAt } = await fillPage.stamp();
  return { startedAt, since, gathered: beginGathering(number, usersExpected, grantParts) };
}

/** Returns `undefined` if Kinde leaves the step unanswered, and another attempt makes sense. */
async function gatherNext(
  options: SweepOptions,
  grants: GatheringState,
  attempts: number,
  call: CallOptions,
): Promise<SweepState["grants"]> {
  const { api, grantIndex } = options;
  const { gathered } = grants;
  try {
    return { ...grants, gathered: await gatherStep({ api, index: grantIndex }, fillKind, gathered, call) };
  } catch (error) {
    if (error instanceof GrantsLost) return beginGrants(options, gathered.mark);
    if (!(error instanceof KindeError)) throw error;
    if (!(await isHopeless(error, attempts, { api, call }))) return undefined;
    // Without the scopes or the listings, members are fetched one by one.
    await grantIndex.forget(fillKind, gathered.mark);
    return "unavailable";
  }
}

async function readGrants(
  { grantIndex }: SweepOptions,
  { grants }: SweepState,
  users: readonly SearchedUser[],
): Promise<GatheredGrants | "lost" | undefined> {
  if (!isGathered(grants)) return undefined;
  if (grants.since === undefined) return "lost";
  const { mark, parts } = grants.gathered;
  const ids = users.map(({ id }) => id);
  const read = await grantIndex.read(mark, ids);
  if (read === undefined) return "lost";
  return { parts, catalogue: read.catalogue, held: new Map(ids.map((id, index) => [id, read.held[index] ?? []])) };
}

/**
 * Has users refreshed whose records show a role or permission that changed after it was gathered. The fan-out of the change
 * can have searched the records before these were written, so this must follow the commit. After a crash in between, the
 * page is taken again.
 */
async function refreshOutdated(
  { grantChanges, grantIndex, records, acknowledge }: SweepOptions,
  { grants }: SweepState,
  ids: readonly string[],
): Promise<void> {
  if (!isGathered(grants) || grants.since === undefined) return;
  const changed = await grantChanges.since(grants.since);
  if (changed?.size === 0) return;
  const [tickets, read] = await Promise.all([records.tickets(ids), grantIndex.read(grants.gathered.mark, ids)]);
  const isOutdated = (index: number) =>
    tickets[index] === ticketOfLists &&
    (changed === undefined || read === undefined || holdsAny(read.held[index] ?? [], read.catalogue, changed));
  await acknowledge(
    ids.filter((_, index) => isOutdated(index)),
    { concern: "grants" },
  );
}

/** A record is as old as the oldest listing that it comes from. */
function asOf(stamp: Stamp, { grants }: SweepState): Stamp {
  return isGathered(grants) ? { ...stamp, fetchedAt: Math.min(stamp.fetchedAt, grants.startedAt) } : stamp;
}

function withoutGrants({ grants: _grants, ...state }: SweepState): SweepState {
  return state;
}

// No two sweeps can agree on who is not listed if this is the first.
function afterHolding({ now }: Pick<SweepOptions, "now">, state: SweepState): SweepStep {
  const done = state.previous === null || !isScanDue(state, now());
  return { refresh: [], state: { ...state, phase: "counting", cursor: "0" }, done };
}

function observeLag(
  { now, indexLagMs }: SweepOptions,
  before: SweepState["lag"],
  users: readonly SearchedUser[],
  stored: readonly StoredRecord[],
): SweepState["lag"] {
  const instant = { now: now(), assumedMs: indexLagMs };
  return users.reduce((sum, user, index) => {
    const profile = stored[index]?.profile;
    return profile === undefined ? sum : addSamples(sum, sampleLag(profile, user, instant));
  }, before);
}

/** Returns whether a missing user must have had a record, because the store was complete after the user was created. */
function wasHeld({ indexLagMs }: SweepOptions, { completeSince }: SweepState, { createdOn }: SearchedUser): boolean {
  return completeSince !== null && createdOn !== null && parseInstant(createdOn) < completeSince - indexLagMs;
}

type Judged = { id: string; user: SearchedUser | undefined } & Judgement;

/** Returns the users to fetch, and the fields of all that differ. */
async function settle(
  { disputes, definitions, signIns }: SweepOptions,
  compared: readonly { id: string; user: SearchedUser | undefined; judgement: Judgement }[],
): Promise<{ changed: string[]; disputed: string[]; different: string[] }> {
  const known = compared.filter(({ judgement: { verdict } }) => verdict !== "missing" && verdict !== "doubted");
  const settled = await disputes.settle(
    known.map(({ id: userId, user, judgement: { verdict } }) => {
      if (verdict !== "different") return { userId, different: false };
      // Other definitions can read what the record lacks: another difference.
      return { userId, different: true, listed: user && [definitions.schema, comparedOf(user, { signIns })] };
    }),
  );
  const disputed = new Set(settled.disputed);
  const fieldsOf = (isDisputed: boolean) =>
    known.flatMap(({ id, judgement }) =>
      judgement.verdict === "different" && disputed.has(id) === isDisputed ? judgement.field : [],
    );
  return { changed: settled.refresh, disputed: fieldsOf(true), different: fieldsOf(false) };
}

function replaceFlags({ records, definitions }: SweepOptions, judged: readonly Judged[]): Promise<number> {
  const { schema } = definitions;
  const replacements = judged.flatMap((each) =>
    each.verdict === "derived"
      ? [{ userId: each.id, record: each.record, flags: each.flags, organizations: each.organizations, schema }]
      : [],
  );
  return records.replaceFlags(replacements);
}
