import type { CallOptions } from "../kinde/management-api.ts";
import { type AuditVerdict, verdictOn } from "./audit-user.ts";
import type { DriftCause } from "./find-cause.ts";

/** Progress of an audit: enough to resume after a crash, a deployment or a pause. */
export interface AuditState {
  startedAt: number;
  /** Users still to check. */
  rest: string[];
  /** Users checked. */
  checked: number;
  /** Checked users that differ from Kinde. */
  drifted: number;
  /** Checked users that changed too often to compare. */
  unsettled: number;
  /** Users that Kinde gave no answer about, not included in `checked`. */
  failed: number;
  causes: Partial<Record<DriftCause, number>>;
  /** The first users that differ, with the names of the fields. */
  examples: { userId: string; cause: DriftCause; fields: readonly string[] }[];
}

/** Users checked at the same time. */
const concurrency = 5;
const examplesKept = 20;

/** Returns the initial state of an audit of these users. */
export function beginAudit(sample: readonly string[], now: number): AuditState {
  return {
    startedAt: now,
    rest: [...sample],
    checked: 0,
    drifted: 0,
    unsettled: 0,
    failed: 0,
    causes: {},
    examples: [],
  };
}

/** Adds the verdict on one user. */
export function noteVerdict(state: AuditState, userId: string, found: AuditVerdict): AuditState {
  if (found.verdict === "failed") return { ...state, failed: state.failed + 1 };
  const checked = state.checked + 1;
  if (found.verdict !== "drift") {
    return { ...state, checked, unsettled: state.unsettled + (found.verdict === "unsettled" ? 1 : 0) };
  }
  const { cause, fields } = found;
  return {
    ...state,
    checked,
    drifted: state.drifted + 1,
    causes: { ...state.causes, [cause]: (state.causes[cause] ?? 0) + 1 },
    examples: [...state.examples, { userId, cause, fields }].slice(0, examplesKept),
  };
}

/**
 * Checks the next users of an audit and returns those to refresh.
 *
 * @throws {ThrottledError} when Kinde or the call budget asks for a pause
 * @throws {KindeError} if Kinde refuses access, or answers for no user of the batch
 */
export async function auditStep(
  audit: (userId: string, call: CallOptions) => Promise<AuditVerdict>,
  state: AuditState,
  call: CallOptions,
): Promise<{ state: AuditState; refresh: string[] }> {
  const batch = state.rest.slice(0, concurrency);
  // `allSettled`: no call may outlive this step.
  const results = await Promise.allSettled(batch.map((userId) => audit(userId, call)));
  const verdicts = results.map((result) => (result.status === "fulfilled" ? result.value : verdictOn(result.reason)));
  // A single failing user left over from a larger audit does not mean that Kinde is down.
  const conclusive = batch.length > 1 || state.checked === 0;
  const [first] = results;
  if (first?.status === "rejected" && conclusive && verdicts.every(({ verdict }) => verdict === "failed")) {
    throw first.reason;
  }
  const refresh = batch.filter((_, index) => verdicts[index]?.verdict === "drift");
  const remaining: AuditState = { ...state, rest: state.rest.slice(batch.length) };
  const next = batch.reduce((counted, userId, index) => {
    const verdict = verdicts[index];
    return verdict === undefined ? counted : noteVerdict(counted, userId, verdict);
  }, remaining);
  return { state: next, refresh };
}

/** Returns the share of a sample that differs, from 0 to 1, and its upper bound with 95 % confidence (Wilson score). */
export function driftRate({ checked, drifted }: Pick<AuditState, "checked" | "drifted">): {
  rate: number;
  atMost: number;
} {
  if (checked === 0) return { rate: 0, atMost: 1 };
  const z = 1.645;
  const rate = drifted / checked;
  const middle = rate + z ** 2 / (2 * checked);
  const margin = z * Math.sqrt((rate * (1 - rate)) / checked + z ** 2 / (4 * checked ** 2));
  return { rate, atMost: Math.min(1, (middle + margin) / (1 + z ** 2 / checked)) };
}
