import type { Failure, Ledger } from "../redis/ledger.ts";
import type { FanoutSubject, RefreshQueues } from "./queues.ts";

/** A ledger member whose job has failed for good. */
export interface FailedMember extends Failure {
  kind: "user" | "fanout";
  member: string;
}

/** Lists the failures of both ledgers, latest first. */
export async function listFailures({
  ledger,
  fanoutLedger,
}: {
  ledger: Pick<Ledger, "failures">;
  fanoutLedger: Pick<Ledger, "failures">;
}): Promise<FailedMember[]> {
  const [ofUsers, ofFanouts] = await Promise.all([ledger.failures(), fanoutLedger.failures()]);
  return [
    ...ofUsers.map(({ member, failure }) => ({ kind: "user" as const, member, ...failure })),
    ...ofFanouts.map(({ member, failure }) => ({ kind: "fanout" as const, member, ...failure })),
  ].sort((a, b) => b.failedAt - a.failedAt);
}

const batchSize = 500;

/** Errors that a new access token can fix: a token carries the scopes granted when it was issued. */
const fixedByNewToken: ReadonlySet<string> = new Set(["kinde_forbidden", "kinde_unauthorized"]);

/**
 * Enqueues failed members again, at low priority, because they can be very many and new events must not wait behind them.
 * A failure stays listed until a refresh succeeds. If a missing scope or a rejected token is among the causes, deletes
 * the fleet's access token first, so that the fleet requests one with the scopes granted since.
 */
export async function reenqueue(
  {
    queues,
    forgetTokens,
  }: {
    queues: Pick<RefreshQueues, "enqueueReprocess" | "enqueueFanouts">;
    forgetTokens: () => Promise<unknown>;
  },
  failures: readonly Pick<FailedMember, "kind" | "member" | "code">[],
): Promise<void> {
  if (failures.some(({ code }) => fixedByNewToken.has(code))) await forgetTokens();
  for (let start = 0; start < failures.length; start += batchSize) {
    const batch = failures.slice(start, start + batchSize);
    const users = batch.filter(({ kind }) => kind === "user");
    const subjects = batch.filter(({ kind }) => kind === "fanout").map(({ member }) => member);
    await queues.enqueueReprocess(users.map(({ member }) => member));
    await queues.enqueueFanouts(subjects.filter((member): member is FanoutSubject => member.includes(":")));
  }
}
