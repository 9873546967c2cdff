import type { AccessTokenStore } from "../kinde/access-token.ts";
import type { Failure, Ledger } from "../redis/ledger.ts";
import type { FanoutSubject, RefreshQueues } from "./queues.ts";

/** A member of a ledger whose job gave up. */
export interface FailedMember extends Failure {
  kind: "user" | "fanout";
  member: string;
}

/** All failures of both ledgers, the latest first. */
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

/** What a new access token may mend: scopes are in a token from its issue on. */
const mendedByToken: ReadonlySet<string> = new Set(["kinde_forbidden", "kinde_unauthorized"]);

/**
 * Enqueues what failed again, at low priority: it may be everybody, and fresh events must not wait behind them. It
 * leaves the failures when a refresh succeeds. If a missing scope or a refused token was among the reasons, the fleet
 * forgets its access token before: whoever is refused with the old one gets another, one for all.
 */
export async function reenqueue(
  {
    queues,
    accessToken,
  }: {
    queues: Pick<RefreshQueues, "enqueueReprocess" | "enqueueFanouts">;
    accessToken: Pick<AccessTokenStore, "read" | "forget">;
  },
  failures: readonly Pick<FailedMember, "kind" | "member" | "code">[],
): Promise<void> {
  if (failures.some(({ code }) => mendedByToken.has(code))) {
    const current = await accessToken.read();
    if (current !== undefined) await accessToken.forget(current.token);
  }
  for (let start = 0; start < failures.length; start += batchSize) {
    const batch = failures.slice(start, start + batchSize);
    const users = batch.filter(({ kind }) => kind === "user");
    const subjects = batch.filter(({ kind }) => kind === "fanout").map(({ member }) => member);
    await queues.enqueueReprocess(users.map(({ member }) => member));
    await queues.enqueueFanouts(subjects.filter((member): member is FanoutSubject => member.includes(":")));
  }
}
