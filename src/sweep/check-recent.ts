import { accountTime } from "kindling/contract";
import { KindeError, ThrottledError } from "../errors.ts";
import { patienceOfManyMs } from "../kinde/call-budget.ts";
import { fetchProperties } from "../kinde/fetch-user.ts";
import { fewAtOnce } from "../kinde/few-at-once.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { listUsersById, type SearchedUser } from "../kinde/search-users.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { RecentUser, RecentUsers } from "../redis/recent-users.ts";
import type { Records, StoredRecord } from "../redis/records.ts";
import type { RefreshRequest } from "../redis/refresh-requests.ts";
import { countCalls } from "./backfill.ts";
import { type JudgeOptions, judgeUser } from "./judge-user.ts";
import type { RecentLog } from "./recent-log.ts";

/** Dependencies of {@link createRecentChecks}. */
export interface RecentChecksOptions extends Omit<JudgeOptions, "indexLagMs"> {
  api: ManagementApi;
  recent: Pick<RecentUsers, "longestUnchecked" | "checked" | "forget" | "size">;
  records: Pick<Records, "readMany">;
  ledger: Pick<Ledger, "clock">;
  log: Pick<RecentLog, "add" | "fail" | "read">;
  /** Shortest time between two checks of a user, in milliseconds. */
  intervalMs: number;
  /** How long Kinde can answer with the state before a change, in milliseconds. */
  settleMs: number;
}

/** Compares recently active users with Kinde, the one whose last check is the longest ago first. */
export interface RecentChecks {
  step(call: CallOptions): Promise<RecentStep>;
}

/** Result of one step. */
export interface RecentStep {
  /** Users whose record differs: one fetched since the comparison began does not. */
  refresh: RefreshRequest[];
  calls: number;
  /** Why Kinde rejected the step. */
  failed?: string;
  /** Milliseconds until the next user is due, if nobody was; `undefined` if nobody is active, or an operator has to act. */
  waitMs: number | undefined;
}

/** Returns the pause after a step, in milliseconds, that keeps the calls to their share of the budget. */
export function pauseAfter(
  { calls, waitMs = 0 }: Pick<RecentStep, "calls" | "waitMs">,
  { share, perMinute, spentMs }: { share: number; perMinute: number; spentMs: number },
): number {
  return Math.max(0, calls > 0 ? (calls * 60_000) / (share * perMinute) - spentMs : waitMs);
}

/** Users compared in one step: one call for their accounts, and one for the properties of each. */
export const usersPerStep = 20;

/** How checks are paced: their share of the call budget, from 0 to 1, and the shortest time between two of a user. */
export interface RecentPace {
  share: number;
  perMinute: number;
  intervalMs: number;
}

/** Returns how far apart two checks of a user are while so many are active, in milliseconds. */
export function roundMs(users: number, { intervalMs, ...budget }: RecentPace): number {
  return Math.max(intervalMs, Math.ceil(users / usersPerStep) * pauseAfterFailure(budget));
}

/** Returns the pause after a step that failed, in milliseconds: it can have made all of its calls. */
export function pauseAfterFailure(budget: Pick<RecentPace, "share" | "perMinute">): number {
  return pauseAfter({ calls: usersPerStep + 1, waitMs: 0 }, { ...budget, spentMs: 0 });
}

/** Records that are looked at in search of one to compare: most are known to be recent. */
const mostLooks = 100;
/** Longest wait for a user who becomes active, in milliseconds. */
const longestWaitMs = 5_000;
/** Pause after Kinde rejected a step: an operator has to act first. Milliseconds. */
const failedPauseMs = 900_000;

/** Creates the checks. */
export function createRecentChecks(options: RecentChecksOptions): RecentChecks {
  const { recent, records, ledger, log, intervalMs } = options;

  const check = async (due: readonly Due[], startedAt: number, call: CallOptions): Promise<RecentStep> => {
    const { api, take } = countCalls(options.api);
    const userIds = due.map(({ userId }) => userId);
    const found = await fetchUsers(api, userIds, call);
    const judged = due.map((each) => ({ ...each, verdict: judge(options, found.get(each.userId), each) }));
    const refresh = judged
      .filter(({ verdict }) => verdict === "different")
      .map(({ userId }) => ({ userId, freshSince: startedAt }));
    // A doubt is settled by the next check only.
    const checked = judged.filter(({ verdict }) => verdict !== "doubted");
    await recent.checked(checked.map(({ userId }) => ({ userId, checkedAt: startedAt })));
    const [endedAt, users] = await Promise.all([ledger.clock(), recent.size()]);
    const gaps = due.flatMap(({ checkedAt, since }) =>
      since === undefined ? [] : [endedAt - Math.max(checkedAt, since)],
    );
    const calls = take();
    await log.add(
      { checked: due.length, different: refresh.length, calls, longestMs: Math.max(0, ...gaps), users },
      endedAt,
    );
    return { refresh, calls, waitMs: 0 };
  };

  const next = async (call: CallOptions): Promise<RecentStep> => {
    for (let look = 0; look < mostLooks; look += 1) {
      const [users, now] = await Promise.all([recent.longestUnchecked(usersPerStep), ledger.clock()]);
      if (users.length === 0) return { refresh: [], calls: 0, waitMs: undefined };
      const stored = await records.readMany(users.map(({ userId }) => userId));
      const { gone, newer, rest } = sort(users, stored, now);
      await Promise.all([recent.forget(gone), recent.checked(newer)]);
      const due = rest.filter(({ checkedAt }) => now - checkedAt >= intervalMs);
      if (due.length > 0) return check(due, now, call);
      if (gone.length + newer.length > 0) continue;
      const dueInMs = Math.min(...rest.map(({ checkedAt }) => checkedAt)) + intervalMs - now;
      return { refresh: [], calls: 0, waitMs: Math.min(longestWaitMs, dueInMs) };
    }
    return { refresh: [], calls: 0, waitMs: longestWaitMs };
  };

  return {
    async step(call) {
      const { failed } = await log.read();
      if (failed !== null && Math.abs((await ledger.clock()) - failed.at) < failedPauseMs)
        return { refresh: [], calls: 0, waitMs: undefined };
      try {
        return await next(call);
      } catch (error) {
        if (!(error instanceof KindeError) || error.code === "kinde_unavailable") throw error;
        await log.fail({ at: await ledger.clock(), reason: error.message });
        return { refresh: [], calls: 1, waitMs: undefined, failed: error.message };
      }
    },
  };
}

/** A user to compare, with the record to compare. */
interface Due extends RecentUser {
  stored: StoredRecord;
}

/** Sorts users by what is known of their record: none that could be compared, newer than the last check, neither. */
function sort(users: readonly RecentUser[], stored: readonly StoredRecord[], now: number) {
  const gone: string[] = [];
  const newer: RecentUser[] = [];
  const rest: Due[] = [];
  users.forEach((user, index) => {
    const { flags, profile } = stored[index] ?? {};
    if (flags?.status !== "present" || profile === undefined) {
      gone.push(user.userId);
      return;
    }
    const fetchedAt = accountTime(flags);
    // A fetch ahead of the clock was stamped before the clock stepped back: it tells nothing.
    if (fetchedAt > user.checkedAt && fetchedAt <= now) newer.push({ ...user, checkedAt: fetchedAt });
    else rest.push({ ...user, stored: { flags, profile } });
  });
  return { gone, newer, rest };
}

/** Fetches accounts and properties. Omits users that Kinde does not list or gives no answer about: sweeps find them too. */
async function fetchUsers(
  api: ManagementApi,
  userIds: readonly string[],
  call: CallOptions,
): Promise<Map<string, SearchedUser>> {
  const asked = new Set(userIds);
  const listed = (await listUsersById(api, userIds, call)).filter(({ id }) => asked.has(id));
  const patient = { ...call, patienceMs: patienceOfManyMs };
  const found = await fewAtOnce(listed, async (user) => {
    try {
      return [{ ...user, properties: await fetchProperties(api, user.id, patient) }];
    } catch (error) {
      if (isAboutOneUser(error)) return [];
      throw error;
    }
  });
  return new Map(found.flat().map((user) => [user.id, user]));
}

function isAboutOneUser(reason: unknown): boolean {
  if (reason instanceof ThrottledError) return reason.scope === "one";
  return reason instanceof KindeError && reason.code !== "kinde_unauthorized" && reason.code !== "kinde_forbidden";
}

/** Users that Kinde does not list are left to the sweep. */
function judge(options: RecentChecksOptions, found: SearchedUser | undefined, { stored }: Due) {
  if (found === undefined) return undefined;
  return judgeUser({ ...options, indexLagMs: options.settleMs }, found, stored).verdict;
}
