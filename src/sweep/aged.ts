import { createHash } from "node:crypto";
import { fetchAge } from "kindling/contract";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { StoredRecord } from "../redis/records.ts";
import { shortestIntervalMs } from "./pace.ts";
import type { FinishedSweep } from "./sweep-log.ts";
import type { Aged } from "./sweep-state.ts";
import type { WalkHistory, WalkKind } from "./walk-log.ts";

/** Returns whose parts must be refreshed by age: those that no walk has compared since then. */
export function agedBy(
  histories: Partial<Record<WalkKind, WalkHistory>>,
  needed: readonly WalkKind[],
  since: number,
): Pick<Aged, "members" | "customers"> {
  const isAged = (kind: WalkKind) => {
    // What flags begin to read was compared by the walk over the other permissions until then.
    const history = histories[kind] ?? (kind === "permissions" ? histories.otherPermissions : undefined);
    return needed.includes(kind) && (history?.last?.finishedAt ?? 0) < since;
  };
  const members = (["roles", "permissions", "otherPermissions"] as const).some(isAged);
  return { members, customers: isAged("plans") };
}

/** What the turns of a sweep depend on. Times in milliseconds, by Redis' clock. */
export interface TurnOptions {
  now: number;
  periodMs: number;
  /** False if only operators start sweeps, which can be days apart. */
  scheduled: boolean;
}

/**
 * Returns the turns that the next sweep takes: those since the last one. After a long pause there are many of them. They are
 * taken at twice the pace then, so that they do not fill the queue.
 */
export function nextTurns(
  last: FinishedSweep | undefined,
  { now, periodMs, scheduled }: TurnOptions,
): Pick<Aged, "from" | "to"> {
  if (last === undefined) return { from: now, to: now };
  // Everybody has a turn in a period. A clock that stepped back repeats some.
  const from = Math.min(now, Math.max(last.aged.to, now - periodMs));
  const mostMs = scheduled ? 2 * Math.max(shortestIntervalMs, last.finishedAt - last.startedAt) : periodMs;
  return { from, to: Math.min(now, from + mostMs) };
}

/** Options for {@link isAged}. */
export interface IsAgedOptions {
  aged: Aged;
  /**
   * Maximum age of profile parts that the search does not return, in milliseconds. Users have a turn in each half of it, and
   * are fetched again at the first one that finds them older than that half. `undefined` if no flag or kept part needs them.
   */
  extrasMaxAgeMs: number | undefined;
  now: () => number;
}

/** Returns whether a listed user is to be fetched for the age of what the search does not return. */
export function isAged(
  { aged, extrasMaxAgeMs, now }: IsAgedOptions,
  { id, organizations }: SearchedUser,
  { flags: record, profile }: StoredRecord,
): boolean {
  if (extrasMaxAgeMs === undefined || record === undefined || profile === undefined) return false;
  const concerned =
    (aged.members && organizations.length > 0) || (aged.customers && profile.billing.customerId !== null);
  const halfMs = extrasMaxAgeMs / 2;
  return concerned && fetchAge(record.fetchedAt, now()) > halfMs && hasTurn(id, aged, halfMs);
}

/** Returns whether the user has a turn now: one in each period, at a moment that is fixed per user and spread over all. */
function hasTurn(userId: string, { from, to }: Pick<Aged, "from" | "to">, periodMs: number): boolean {
  const moment = (createHash("sha1").update(userId).digest().readUInt32BE() / 2 ** 32) * periodMs;
  const turnsUntil = (time: number) => Math.floor((time - moment) / periodMs);
  return turnsUntil(to) > turnsUntil(from);
}
