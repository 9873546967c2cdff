import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import type { ProfilePart } from "kindling/contract";
import { KindeError } from "../errors.ts";
import type { ListedRole } from "../kinde/list-grants.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger } from "../redis/ledger.ts";
import { agedBy } from "./aged.ts";
import { countCalls } from "./backfill.ts";
import { type CompareGrantsOptions, type CompareGrantsStep, compareGrantsStep } from "./compare-grants.ts";
import { type ComparePlansOptions, comparePlansStep } from "./compare-plans.ts";
import type { Disputes } from "./disputes.ts";
import { beginGathering, type GatherState, type GrantPart, GrantsLost, gatherStep } from "./gather-grants.ts";
import type { GrantIndex } from "./grant-index.ts";
import type { KnownRoles } from "./known-roles.ts";
import type { PermissionScope } from "./permission-scope.ts";
import type { SweepLog } from "./sweep-log.ts";
import type { Aged } from "./sweep-state.ts";
import { attemptPauseMs, isHopeless } from "./unanswered.ts";
import { type FinishedWalk, isWalkDue, type WalkKind, type WalkLog, walkKinds } from "./walk-log.ts";
import { mostOwed, type Owed, type Walk, type WalksState } from "./walks-state.ts";

/** Dependencies of {@link createWalks}. */
export interface WalksOptions
  extends Omit<CompareGrantsOptions, "index" | "disputes" | "clock">,
    Omit<ComparePlansOptions, "api" | "records" | "disputes" | "definitions"> {
  api: ManagementApi;
  index: GrantIndex;
  log: WalkLog;
  sweeps: Pick<SweepLog, "last" | "nextNumber">;
  ledger: Pick<Ledger, "clock">;
  disputes: Readonly<Record<WalkKind, Disputes>>;
  /** The permissions that flags read. */
  scope: PermissionScope;
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Remembers the roles of the last walk. */
  knownRoles: KnownRoles;
  /** Called for a role whose permissions changed, before the change is remembered. */
  onRoleChange: (roleId: string) => Promise<void>;
}

/** Comparisons of what the search does not show: each in pages, so that any process can continue them. */
export interface Walks {
  /** Returns whose roles, permissions and plans no walk has compared since then, by Redis' clock. */
  agedSince(since: number): Promise<Pick<Aged, "members" | "customers">>;
  /** Begins the walks that are due. */
  beginDue(state: WalksState): Promise<WalksState>;
  /** Takes the next step of the walk whose turn it is; `undefined` if none is under way. */
  step(state: WalksState, call: CallOptions): Promise<WalksStep | undefined>;
}

/** Result of one step. */
export interface WalksStep {
  refresh: string[];
  state: WalksState;
  calls: number;
  /** Set when the walk is over. */
  finished?: { kind: WalkKind } & FinishedWalk;
  failed?: { kind: WalkKind; reason: string };
  /** Set if Kinde left the step unanswered. The walk is paused, and others go on. */
  unanswered?: { kind: WalkKind; reason: string };
  /** Milliseconds until the next step, if all walks are paused. */
  waitMs?: number;
}

/** Returns the listings that complete the records of members. */
export function neededGrants(
  definitions: Pick<Definitions, "mayNeed">,
  keep: ReadonlySet<ProfilePart>,
): readonly GrantPart[] {
  const needs = (part: GrantPart) => keep.has(part) || definitions.mayNeed(part);
  if (needs("permissions")) return ["roles", "permissions"];
  return needs("roles") ? ["roles"] : [];
}

/** Whose turn it is, in this order, a call each: permissions that no flag reads can wait longer. */
export const turns: readonly WalkKind[] = [
  ...(["roles", "permissions", "plans"] as const),
  ...(["roles", "permissions", "plans"] as const),
  "otherPermissions",
];

/** Creates the walks. */
export function createWalks(options: WalksOptions): Walks {
  const { log, sweeps, ledger, index, knownRoles, onRoleChange, definitions, keep, scope } = options;
  const grants = neededGrants(definitions, keep);
  const plans = keep.has("billing") || definitions.mayNeed("billing");

  const neededKinds = (keys: readonly string[] | undefined) => {
    const isNeeded: Record<WalkKind, boolean> = {
      roles: grants.length > 0,
      permissions: keys === undefined ? definitions.mayNeed("permissions") : keys.length > 0,
      otherPermissions: keep.has("permissions") && keys !== undefined,
      plans,
    };
    return walkKinds.filter((kind) => isNeeded[kind]);
  };
  const begin = async (kind: WalkKind): Promise<Walk> => {
    const [number, last, startedAt] = await Promise.all([sweeps.nextNumber(), sweeps.last(), ledger.clock()]);
    const walk = { startedAt, calls: 0, compared: 0, different: 0, disputed: 0, cursor: "0" };
    if (kind === "plans") return walk;
    const users = last?.users ?? 0;
    if (kind === "roles") return { ...walk, gathered: beginGathering(number, users, ["roles"]) };
    const keys = await scope.keys();
    const selection = keys && { keys, except: kind === "otherPermissions" };
    return { ...walk, gathered: beginGathering(number, users, ["roles", "permissions"], selection) };
  };
  const noteReads = async (walk: Walk, reads: boolean, over: boolean): Promise<Walk> => {
    if (reads && !walk.reads) await scope.note(true);
    if (over && !reads && !walk.reads) await scope.note(false);
    return reads ? { ...walk, reads } : walk;
  };
  const finish = async (kind: WalkKind, walk: Walk, finished: FinishedWalk) => {
    await log.finish(kind, finished);
    const comparesAll = kind === "permissions" && walk.gathered?.selection === undefined && keep.has("permissions");
    if (comparesAll) await log.finish("otherPermissions", finished);
  };
  const reportRoles = async ({ mark }: GatherState) => {
    const [before, catalogue] = await Promise.all([knownRoles.read(), index.catalogue(mark)]);
    if (catalogue === undefined) throw new GrantsLost();
    for (const role of catalogue.roles) {
      const known = before?.find(({ id }) => id === role.id);
      if (known !== undefined && !isDeepStrictEqual(sorted(known), sorted(role))) await onRoleChange(role.id);
    }
    await knownRoles.write(catalogue.roles);
  };
  const advance = async (kind: WalkKind, walk: Walk, call: CallOptions) => {
    const { api, take } = countCalls(options.api);
    if (kind === "plans") {
      const step = await comparePlansStep({ ...options, api, disputes: options.disputes.plans }, walk, call);
      return { refresh: step.refresh, walk: add(walk, step), calls: take(), over: step.cursor === "0" };
    }
    if (walk.gathered === undefined) throw new GrantsLost();
    if (walk.gathered.phase !== "gathered") {
      const gathered = await gatherStep({ api, index }, kind, walk.gathered, call);
      if (kind === "roles" && walk.gathered.phase === "catalogue") await reportRoles(gathered);
      return { refresh: [], walk: { ...walk, gathered }, calls: take(), over: false };
    }
    const compareOptions = { ...options, disputes: options.disputes[kind], clock: ledger.clock };
    const step = await compareGrantsStep(compareOptions, { ...walk, gathered: walk.gathered });
    const over = step.cursor === "0";
    const next = await noteReads(add(walk, step), step.reads, over);
    if (over) await index.forget(kind, walk.gathered.mark);
    return { refresh: step.refresh, walk: next, calls: 0, over };
  };

  return {
    async agedSince(since) {
      const [histories, keys, unknown] = await Promise.all([log.read(), scope.keys(), scope.isUnknown()]);
      const known = neededKinds(keys).filter((kind) => !waitsForRoles(kind, unknown, histories));
      return agedBy(histories, known, since);
    },
    async beginDue(state) {
      const [histories, now, keys] = await Promise.all([log.read(), ledger.clock(), scope.keys()]);
      const needed = neededKinds(keys);
      for (const kind of walkKinds) {
        // A walk over all permissions counts as one over the others, too.
        const isCompared = needed.includes(kind) || (kind === "otherPermissions" && keep.has("permissions"));
        if (histories[kind] && !isCompared) await log.forget(kind);
      }
      const unknown = await scope.isUnknown();
      const due = needed.filter(
        (kind) =>
          state.walks[kind] === undefined &&
          isWalkDue(histories[kind], now) &&
          !waitsForRoles(kind, unknown, histories),
      );
      const begun = await Promise.all(due.map(async (kind) => [kind, await begin(kind)] as const));
      return { ...state, walks: { ...state.walks, ...Object.fromEntries(begun) } };
    },
    async step(state, call) {
      const now = await ledger.clock();
      const next = findTurn(state, now);
      if (next === undefined) {
        const pauses = Object.values(state.walks).map((walk) => pauseLeft(walk, now));
        return pauses.length === 0 ? undefined : { refresh: [], state, calls: 0, waitMs: Math.min(...pauses) };
      }
      const { place, kind } = next;
      const { unanswered, ...walk } = next.walk;
      const put = (after: Walk | undefined, calls = 0): WalksState => {
        const { [kind]: _before, ...others } = state.walks;
        const { [kind]: _owed, ...owedByOthers } = next.owed;
        const owed = after && calls > 1 ? { ...owedByOthers, [kind]: Math.min(calls - 1, mostOwed) } : owedByOthers;
        return { turn: (place + 1) % turns.length, walks: { ...others, ...(after && { [kind]: after }) }, owed };
      };
      try {
        const { refresh, walk: advanced, calls, over } = await advance(kind, walk, call);
        const counted = { ...advanced, calls: advanced.calls + calls };
        if (!over) return { refresh, state: put(counted, calls), calls };
        const { gathered: _gathered, reads: _reads, cursor: _cursor, runId: _runId, ...figures } = counted;
        const finished = { ...figures, finishedAt: await ledger.clock() };
        await finish(kind, counted, finished);
        return { refresh, state: put(undefined), calls, finished: { kind, ...finished } };
      } catch (error) {
        if (error instanceof GrantsLost) return { refresh: [], state: put(await begin(kind)), calls: 0 };
        if (!(error instanceof KindeError)) throw error;
        const times = (unanswered?.times ?? 0) + 1;
        const hopeless = await isHopeless(error, times, { api: options.api, call });
        const trouble = { kind, reason: error.message };
        if (!hopeless) {
          const paused = { ...walk, unanswered: { times, at: await ledger.clock() } };
          return { refresh: [], state: put(paused), calls: 2, unanswered: trouble };
        }
        // The others go on: one missing scope, or one listing that always fails, is not everybody's.
        if (walk.gathered) await index.forget(kind, walk.gathered.mark);
        await log.fail(kind, { at: await ledger.clock(), reason: trouble.reason });
        return { refresh: [], state: put(undefined), calls: 2, failed: trouble };
      }
    },
  };
}

// A walk over the roles, which takes fewer calls, finds out whether functions read permissions at all.
function waitsForRoles(
  kind: WalkKind,
  scopeUnknown: boolean,
  { roles }: Awaited<ReturnType<WalkLog["read"]>>,
): boolean {
  return kind === "permissions" && scopeUnknown && roles?.failed == null;
}

/** Returns whose turn it is, and what is owed then; `undefined` if no walk is under way, or all are paused. */
function findTurn({ walks, turn, owed }: WalksState, now: number) {
  const isReady = (walk: Walk | undefined) => walk !== undefined && pauseLeft(walk, now) <= 0;
  const ready = Object.values(walks).filter(isReady).length;
  const left: Owed = { ...owed };
  for (let place = turn; ready > 0; place = (place + 1) % turns.length) {
    const kind = turns[place] as WalkKind;
    const walk = walks[kind];
    if (walk === undefined || !isReady(walk)) continue;
    const owes = left[kind] ?? 0;
    if (owes === 0 || ready === 1) return { place, kind, walk, owed: left };
    left[kind] = owes - 1;
  }
  return undefined;
}

// Kinde does not document an order.
function sorted(role: ListedRole): ListedRole {
  return { ...role, permissions: [...role.permissions].sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

function pauseLeft({ unanswered }: Walk, now: number): number {
  return unanswered === undefined ? 0 : attemptPauseMs - Math.abs(now - unanswered.at);
}

type Compared = Pick<CompareGrantsStep, "compared" | "different" | "disputed" | "cursor" | "runId">;

function add(walk: Walk, { compared, different, disputed, cursor, runId }: Compared): Walk {
  return {
    ...walk,
    cursor,
    runId,
    compared: walk.compared + compared,
    different: walk.different + different,
    disputed: walk.disputed + disputed,
  };
}
