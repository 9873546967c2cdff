import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import type { ProfilePart } from "kindling/contract";
import { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import { compareLive, type Difference, fetchLive } from "./compare-live.ts";
import { type DriftCause, findCause, type Look } from "./find-cause.ts";

/**
 * What an audit of one user found. `unsettled`: the user changes faster than one can look; `failed`: Kinde gives no answer
 * about this user.
 */
export type AuditVerdict =
  | { verdict: "same" | "unsettled"; looks: number }
  | { verdict: "failed" }
  /** `fields` are names only: values may be personal. */
  | { verdict: "drift"; looks: number; cause: DriftCause; fields: readonly string[] };

/** What auditing needs. */
export interface AuditUserOptions {
  api: ManagementApi;
  ledger: Pick<Ledger, "begin" | "entry">;
  records: Pick<Records, "read">;
  flags: Definitions;
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Whether sign-ins refresh their users: else their figures are not held to be current. */
  signIns: boolean;
  /** Time between two looks: a webhook under way may arrive meanwhile. Milliseconds, default 2 s. */
  momentMs?: number;
  /** Longest further wait for the ledger to owe the user nothing, in milliseconds. Default 10 s. */
  patienceMs?: number;
}

/** A user who differs anew at every one of so many looks is given up. */
const mostLooks = 6;
const pollMs = 100;

/**
 * Compares a record with Kinde. A mismatch counts only when a second look, after a moment and with nothing outstanding in
 * the ledger, finds the same value at Kinde and still not in the record: what changes while one looks is no drift.
 *
 * @throws {ThrottledError} {KindeError} as the Management API does
 */
export async function auditUser(options: AuditUserOptions, userId: string, call: CallOptions): Promise<AuditVerdict> {
  const { momentMs = 2_000, patienceMs = 10_000, flags, keep } = options;
  let before: Look | undefined;
  for (let looks = 1; ; looks += 1) {
    const look = await takeLook(options, userId, call);
    if (look.differences.length === 0) return { verdict: "same", looks };
    // Who is owed a refresh gets the time for it before that is held against us.
    const early = before === undefined || look.crossed || (look.owedMs > 0 && look.owedMs < patienceMs);
    const confirmed = before === undefined || early ? [] : inBoth(before, look);
    if (before !== undefined && confirmed.length > 0) {
      const cause = findCause({ before, look, confirmed, flags, keep });
      return { verdict: "drift", looks, cause, fields: confirmed.map(({ name }) => name) };
    }
    if (looks === mostLooks) return { verdict: "unsettled", looks };
    before = look;
    await delay(momentMs, undefined, { signal: call.signal });
    await untilNothingOwed(options, userId, patienceMs, call);
  }
}

/**
 * The verdict on a user whose audit threw this.
 *
 * @throws the error, where it is about more than this user
 */
export function verdictOn(error: unknown): AuditVerdict {
  if (!(error instanceof KindeError)) throw error;
  if (error.code === "kinde_unauthorized" || error.code === "kinde_forbidden") throw error;
  return { verdict: "failed" };
}

async function takeLook(options: AuditUserOptions, userId: string, call: CallOptions): Promise<Look> {
  const { ledger, records, keep } = options;
  const { ticket, written } = await ledger.begin(userId);
  const live = await fetchLive(userId, { ...options, call, written });
  const [{ ticket: ended }, entry] = [await ledger.begin(userId), await ledger.entry(userId)];
  // After the ledger: were it read before, a refresh in between would go unseen by both.
  const stored = await records.read(userId);
  const { exists, same, flags, profile } = compareLive(stored, live, keep);
  const figures = options.signIns ? [] : ["lastSignedIn", "totalSignIns", "failedSignIns"];
  const found = [
    ...flags.map((difference) => ({ ...difference, name: `flags.${difference.name}` })),
    ...profile.filter(({ name }) => !figures.includes(name)),
  ];
  const differences =
    same || flags.length + profile.length > 0
      ? found
      : [{ name: "user", stored: stored.flags?.status ?? "missing", live: exists ? "present" : "missing" }];
  const crossed = (stored.flags?.ticket ?? 0) > ticket;
  return { differences, stored, owedMs: entry === undefined ? 0 : Math.max(1, entry.ageMs), crossed, ended };
}

async function untilNothingOwed(
  { ledger }: AuditUserOptions,
  userId: string,
  patienceMs: number,
  call: CallOptions,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while ((await ledger.entry(userId)) !== undefined && performance.now() < deadline) {
    await delay(pollMs, undefined, { signal: call.signal });
  }
}

function inBoth(before: Look, look: Look): Difference[] {
  return look.differences.filter((difference) =>
    before.differences.some(({ name, live }) => name === difference.name && isDeepStrictEqual(live, difference.live)),
  );
}
