import { setTimeout as delay } from "node:timers/promises";
import type { Definitions } from "kindling";
import type { ProfilePart } from "kindling/contract";
import { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import { compareLive, type Difference, fetchLive, sameValue } from "./compare-live.ts";
import { type Comparison, type DriftCause, findCause } from "./find-cause.ts";

/**
 * Result of auditing one user. `unsettled`: the user changes too often to compare. `failed`: Kinde gives no answer about
 * this user. `looks` counts the comparisons.
 */
export type AuditVerdict =
  | { verdict: "same" | "unsettled"; looks: number }
  | { verdict: "failed" }
  /** `fields` contains names only: values can be personal. */
  | { verdict: "drift"; looks: number; cause: DriftCause; fields: readonly string[] };

/** Dependencies of {@link auditUser}. */
export interface AuditUserOptions {
  api: ManagementApi;
  ledger: Pick<Ledger, "begin" | "entry">;
  records: Pick<Records, "read">;
  definitions: Definitions;
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Whether sign-ins refresh users. If not, sign-in counts and times are not compared. */
  signIns: boolean;
  /** Pause before a mismatch is checked again: a webhook can be on its way. Milliseconds, default 2 s. */
  recheckMs?: number;
  /** Longest wait for a pending refresh of the user, in milliseconds. Default 10 s. */
  settleTimeoutMs?: number;
}

/** Comparisons after which a user that keeps changing is `unsettled`. */
const maxLooks = 6;
const pollMs = 100;

/**
 * Compares a record with Kinde. A mismatch is drift only if a second comparison confirms it, after a pause and with no
 * refresh pending: Kinde still has the same value, and the record still lacks it.
 *
 * @throws {ThrottledError} {KindeError} as the Management API does
 */
export async function auditUser(options: AuditUserOptions, userId: string, call: CallOptions): Promise<AuditVerdict> {
  const { recheckMs = 2_000, settleTimeoutMs = 10_000, definitions, keep } = options;
  let previous: Comparison | undefined;
  for (let looks = 1; ; looks += 1) {
    const current = await compare(options, userId, call);
    if (current.differences.length === 0) return { verdict: "same", looks };
    // A pending refresh gets its time before a mismatch counts.
    const pending = current.pendingMs > 0 && current.pendingMs < settleTimeoutMs;
    const confirmed = previous === undefined || current.crossed || pending ? [] : inBoth(previous, current);
    if (previous !== undefined && confirmed.length > 0) {
      const cause = findCause({ previous, current, confirmed, definitions, keep });
      return { verdict: "drift", looks, cause, fields: confirmed.map(({ name }) => name) };
    }
    if (looks === maxLooks) return { verdict: "unsettled", looks };
    previous = current;
    await delay(recheckMs, undefined, { signal: call.signal });
    await untilSettled(options, userId, settleTimeoutMs, call);
  }
}

/**
 * Returns the verdict on a user whose audit threw this error.
 *
 * @throws the error if it concerns more than this user
 */
export function verdictOn(error: unknown): AuditVerdict {
  if (!(error instanceof KindeError)) throw error;
  if (error.code === "kinde_unauthorized" || error.code === "kinde_forbidden") throw error;
  return { verdict: "failed" };
}

async function compare(options: AuditUserOptions, userId: string, call: CallOptions): Promise<Comparison> {
  const { ledger, records, keep } = options;
  const { ticket, written } = await ledger.begin(userId);
  const live = await fetchLive(userId, { ...options, call, written });
  const { ticket: ended } = await ledger.begin(userId);
  const entry = await ledger.entry(userId);
  // Read the record after the ledger: the other way round, a refresh in between would show in neither.
  const stored = await records.read(userId);
  const { exists, same, flags, profile } = compareLive(stored, live, keep);
  const ignored = options.signIns ? [] : ["lastSignedIn", "totalSignIns", "failedSignIns"];
  const found = [
    ...flags.map((difference) => ({ ...difference, name: `flags.${difference.name}` })),
    ...profile.filter(({ name }) => !ignored.includes(name)),
  ];
  const differences =
    same || flags.length + profile.length > 0
      ? found
      : [{ name: "user", stored: stored.flags?.status ?? "missing", live: exists ? "present" : "missing" }];
  const crossed = (stored.flags?.ticket ?? 0) > ticket;
  return { differences, stored, pendingMs: entry === undefined ? 0 : Math.max(1, entry.ageMs), crossed, ended };
}

async function untilSettled(
  { ledger }: AuditUserOptions,
  userId: string,
  timeoutMs: number,
  call: CallOptions,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while ((await ledger.entry(userId)) !== undefined && performance.now() < deadline) {
    await delay(pollMs, undefined, { signal: call.signal });
  }
}

function inBoth(previous: Comparison, current: Comparison): Difference[] {
  return current.differences.filter((difference) =>
    previous.differences.some(({ name, live }) => name === difference.name && sameValue(name, live, difference.live)),
  );
}
