import type { Definitions, Misfit } from "kindling";
import {
  answerWithoutUser,
  type ExtraPart,
  extraParts,
  type FlagsRecord,
  isPartMissing,
  type Profile,
  type ProfilePart,
} from "kindling/contract";
import { AbsenceError, errorCode } from "../errors.ts";
import { type FetchedAccount, fetchUser } from "../kinde/fetch-user.ts";
import { keepParts } from "../kinde/keep-parts.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Absences } from "../redis/absences.ts";
import type { Activity, RefreshCause } from "../redis/activity.ts";
import type { Ledger, Written } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import { inSpan } from "../trace.ts";
import type { JudgeAbsence } from "./judge-absence.ts";
import { canKeepAny, findKeepable, type Keepable, keepExtras, keptAtMost } from "./keep-extras.ts";
import type { Organizations } from "./organizations.ts";

/** The result of a refresh. */
export interface RefreshResult {
  /**
   * `superseded`: a refresh with a later ticket had already committed. `absent`: Kinde did not find the user, which is not
   * confirmed, so the record stays. `unknown`: Kinde did not find the user, who has no record. `reflected`: no event was
   * outstanding, and no confirming refresh due.
   */
  outcome: "committed" | "superseded" | "deleted" | "absent" | "unknown" | "reflected";
  ticket: number;
  /** Whether an event arrived during the refresh, so that another refresh is needed. */
  pending: boolean;
}

/** Options for {@link RefreshUser}. */
export interface RefreshOptions extends CallOptions {
  /** Called with the ticket before anything is fetched. */
  onTicket?: (ticket: number) => void;
  /** Why the user is refreshed, for the counters. Default: `other`. */
  cause?: RefreshCause;
  /**
   * Fetch nothing without an outstanding event: after another refresh has reflected it, a fetch could revive a deleted user.
   * Implies `keep`. Default: false.
   */
  owed?: boolean;
  /** Fetch only if a confirming refresh is due. Implies `keep`. Default: false. */
  confirming?: boolean;
  /** Keep roles, permissions and plans of the record, if recent, unless something outstanding concerns them. Default: false. */
  keep?: boolean;
}

/** Fetches one user and commits the record. */
export type RefreshUser = (userId: string, options: RefreshOptions) => Promise<RefreshResult>;

/** Dependencies of {@link createRefreshUser}. */
export interface RefreshUserOptions {
  ledger: Pick<Ledger, "begin" | "settle" | "dismiss">;
  absences: Pick<Absences, "clear" | "noteUnknown">;
  judgeAbsence: JudgeAbsence;
  records: Pick<Records, "read" | "commit" | "bury">;
  api: ManagementApi;
  organizations: Pick<Organizations, "addTo">;
  definitions: Definitions;
  /** Parts of the profile to store. */
  keep: ReadonlySet<ProfilePart>;
  /** Age at which roles, permissions and plans are fetched again although no event concerns them, in milliseconds. */
  extrasMaxAgeMs: number;
  activity?: Pick<Activity, "countRefresh" | "countMisfit">;
  now: () => number;
}

/**
 * Creates the refresh: ticket, fetch, derive, commit, settle, in this order. The ticket is drawn before the fetch, so
 * that of two refreshes the one that started later wins. The ledger is settled after the commit, so that a crash in
 * between costs a fetch and not an event.
 *
 * If Kinde can have answered from a copy that lags, the ledger notes a confirming refresh.
 *
 * Most events concern a part of a user only: a sign-in changes nothing but its time and count. So a refresh can keep roles,
 * permissions and plans of the record that nothing outstanding concerns, if they are recent and the memberships and the billing
 * customer did not change. Such a record counts as old as they are. If another refresh commits meanwhile, either way round,
 * everything is fetched again, under a new ticket. If that happens to a refresh that fetched everything, refreshes that begin
 * later keep nothing until it has ended: otherwise a slow one would never end beside continuous writes.
 *
 * @throws {ThrottledError} as {@link ManagementApi.get}; the record is unchanged
 * @throws {KindeError} as {@link ManagementApi.get}; the record is unchanged
 * @throws {AbsenceError} if Kinde does not find the user although an event is outstanding, or while absences are not
 * believed at all; the record is unchanged
 */
export function createRefreshUser(options: RefreshUserOptions): RefreshUser {
  const { ledger, absences, judgeAbsence, records, api, organizations, definitions, activity } = options;
  // Grows when a flag function reads a part that the definitions do not declare.
  const parts = new Set<ExtraPart>([...definitions.needs, ...extraParts.filter((part) => options.keep.has(part))]);

  const keptMs = keptAtMost(definitions, options.extrasMaxAgeMs);

  const refresh: RefreshUser = async (userId, call) => {
    for (let round = 0; ; round += 1) {
      const { outcome, ...rest } = await attempt(userId, round, call);
      if (outcome !== "crossed") return { outcome, ...rest };
      call.signal.throwIfAborted();
    }
  };

  const attempt = async (
    userId: string,
    round: number,
    { onTicket, cause, owed = false, confirming = false, keep = owed || confirming, ...call }: RefreshOptions,
  ): Promise<Omit<RefreshResult, "outcome"> & { outcome: RefreshResult["outcome"] | "crossed" }> => {
    // If a round that fetched everything was crossed, refreshes that keep parts could cross this one, too.
    const begun = await ledger.begin(userId, { whole: round > (keep ? 1 : 0) });
    const { ticket, at, events, deleted, written, absent, concern } = begun;
    onTicket?.(ticket);
    if (owed && !begun.outstanding) return { outcome: "reflected", ticket, pending: false };
    if (confirming && !begun.confirmDue) return { outcome: "reflected", ticket, pending: false };
    // Redis' clock: the clocks of two workers can differ.
    const stamp = { fetchedAt: Math.floor(at / 1000), ticket, schema: definitions.schema };
    const keepable =
      keep && round === 0 && canKeepAny(parts, concern) && !deleted && !absent
        ? findKeepable(await records.read(userId), { ticket, at: stamp.fetchedAt, maxAgeMs: keptMs, concern })
        : undefined;
    // Where one of the clocks is behind, a plan that was just cancelled would not have ended yet.
    const planClock = () => Math.max(stamp.fetchedAt, options.now());
    const addOrganizations: AddOrganizations = (profile, fetched) =>
      organizations.addTo(profile, fetched, stamp.fetchedAt, call);
    const found = deleted
      ? undefined
      : await fetchAndDerive({ api, definitions, addOrganizations, now: planClock }, userId, parts, call, {
          written,
          keepable,
        });
    const claim = events > 0 ? "event" : cause === "sweep" ? "list" : undefined;
    const verdict = found === undefined && !deleted ? await judgeAbsence(userId, claim, call) : undefined;
    if (verdict === "absent") {
      if (events === 0) return { outcome: verdict, ticket, pending: false };
      // The event says that the user exists, so it stays in the ledger until Kinde shows the user or confirms the absence.
      throw new AbsenceError("absence_unconfirmed", "Kinde does not find a user that an event names: it can lag.");
    }
    if (verdict === "unknown") {
      await absences.noteUnknown(userId, ticket);
      const { pending } = await ledger.dismiss(userId, ticket);
      if (absent || events > 0) await absences.clear(userId);
      return { outcome: verdict, ticket, pending };
    }
    const outcome = await inSpan("commit", {}, () => {
      if (found === undefined) {
        // With the deny values: apps in other languages take the flags from the record.
        const { flags } = answerWithoutUser(definitions, "deleted");
        return records.bury(userId, { flags, status: "deleted", ...stamp });
      }
      const { flags, organizations, profile, kept } = found;
      const times = kept === undefined ? stamp : { ...stamp, ...timesOf(kept, stamp.fetchedAt) };
      const record = { flags, organizations, status: "present", ...times } as const;
      return records.commit(record, keepParts(profile, options.keep), kept?.ticket);
    });
    if (outcome === "crossed") return { outcome, ticket, pending: true };
    // A flag can misfit in several organizations.
    const misfits = new Set(found?.misfits.map(({ flag }) => flag));
    if (outcome === "committed") for (const flag of misfits) activity?.countMisfit(flag);
    if (absent || verdict === "deleted") await absences.clear(userId);
    const { pending } = await ledger.settle(userId, ticket, { events, at });
    return {
      outcome: outcome === "committed" && found === undefined ? "deleted" : outcome,
      ticket,
      pending,
    };
  };

  return (userId, { cause = "other", ...options }) =>
    inSpan("refresh", { attributes: { "kindling.user.id": userId, "kindling.refresh.cause": cause } }, async (span) => {
      try {
        const result = await refresh(userId, { cause, ...options });
        const { outcome, ticket } = result;
        span?.setAttributes({ "kindling.refresh.outcome": outcome, "kindling.refresh.ticket": ticket });
        if (outcome !== "reflected") activity?.countRefresh(cause, outcome);
        return result;
      } catch (error) {
        if (!options.signal.aborted) activity?.countRefresh(cause, errorCode(error));
        throw error;
      }
    });
}

/** Adds the properties and agreements of a user's organizations, as far as they are among the parts. */
export type AddOrganizations = (profile: Profile, parts: ReadonlySet<ExtraPart>) => Promise<Profile>;

/** A user as a refresh would commit it. */
export interface DerivedUser extends Pick<FlagsRecord, "flags" | "organizations"> {
  profile: Profile;
  misfits: readonly Misfit[];
  /** The record that parts were kept from; absent if everything was fetched. */
  kept?: FlagsRecord;
}

/** Options for {@link fetchAndDerive}. */
export interface FetchOptions {
  /** Property values that override Kinde's answer, which can be older. */
  written?: Written;
  /** A record to keep parts of. */
  keepable?: Keepable | undefined;
}

/** Returns the times of a record that keeps parts of another one. */
function timesOf({ fetchedAt, ticket, keptTicket = ticket }: FlagsRecord, accountAt: number) {
  return { fetchedAt, accountAt, keptTicket };
}

/**
 * Fetches a user and derives the flags.
 *
 * @param parts Parts to fetch. Parts that a flag function reads in addition are added to this set.
 * @returns `undefined` if the user does not exist in Kinde
 */
export async function fetchAndDerive(
  {
    api,
    definitions,
    addOrganizations,
    now,
  }: Pick<RefreshUserOptions, "api" | "definitions"> & { addOrganizations: AddOrganizations; now?: () => number },
  userId: string,
  parts: Set<ExtraPart>,
  call: CallOptions,
  { written = {}, keepable }: FetchOptions = {},
): Promise<DerivedUser | undefined> {
  for (;;) {
    const fetched = new Set(parts);
    let kept: FlagsRecord | undefined;
    const keep = (account: FetchedAccount) => {
      const known = keepable === undefined ? {} : keepExtras(keepable, account, fetched);
      kept = Object.keys(known).length > 0 ? keepable?.record : undefined;
      return known;
    };
    const found = await fetchUser(api, userId, { ...call, parts: fetched, keep, ...(now && { now }) });
    if (found === undefined) return undefined;
    const profile = await addOrganizations({ ...found, properties: { ...found.properties, ...written } }, fetched);
    try {
      const { flags, organizations, misfits } = definitions.derive(profile, fetched);
      return { profile, flags, organizations, misfits, ...(kept && { kept }) };
    } catch (error) {
      if (!isPartMissing(error)) throw error;
      parts.add(error.part);
    }
  }
}
