import type { CallOptions } from "../kinde/management-api.ts";
import { type AuditVerdict, verdictOn } from "./audit-user.ts";
import type { DriftCause } from "./find-cause.ts";

/** How far an audit has come: all that is needed to go on after a crash, a deploy or a pause. */
export interface AuditState {
  startedAt: number;
  /** Users still to look at. */
  rest: string[];
  /** Users compared with Kinde. */
  checked: number;
  /** Of these, who differed from Kinde. */
  drifted: number;
  /** Of these, who changed faster than one can look. */
  unsettled: number;
  /** Users beside these of whom Kinde gave no answer. */
  failed: number;
  causes: Partial<Record<DriftCause, number>>;
  /** The first who differed, with the names of what did. */
  examples: { userId: string; cause: DriftCause; fields: readonly string[] }[];
}

/** Users looked at side by side. */
const atOnce = 5;
const examplesKept = 20;

/** The state an audit of these users begins with. */
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

/** Counts one more user in. */
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
 * Looks at the next few users of an audit, and tells whom to refresh.
 *
 * @throws {ThrottledError} {KindeError} where that is about more than one user, about each of several, or all there is
 */
export async function auditStep(
  audit: (userId: string, call: CallOptions) => Promise<AuditVerdict>,
  state: AuditState,
  call: CallOptions,
): Promise<{ state: AuditState; refresh: string[] }> {
  const batch = state.rest.slice(0, atOnce);
  // Settled all: none may go on unwatched.
  const ends = await Promise.allSettled(batch.map((userId) => audit(userId, call)));
  const verdicts = ends.map((end) => (end.status === "fulfilled" ? end.value : verdictOn(end.reason)));
  // Where one of many is left at last, it alone tells nothing of Kinde; where it is all there is, it does.
  const telling = batch.length > 1 || state.checked === 0;
  const [first] = ends;
  if (first?.status === "rejected" && telling && verdicts.every(({ verdict }) => verdict === "failed")) {
    throw first.reason;
  }
  const refresh = batch.filter((_, index) => verdicts[index]?.verdict === "drift");
  const begun: AuditState = { ...state, rest: state.rest.slice(batch.length) };
  const next = batch.reduce((so, userId, index) => {
    const verdict = verdicts[index];
    return verdict === undefined ? so : noteVerdict(so, userId, verdict);
  }, begun);
  return { state: next, refresh };
}

/** Of a sample, the share that differs, from 0 to 1, and the share it does not exceed with 95 % confidence (Wilson). */
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
