import type { Store } from "../compose/open-store.ts";
import type { Failure } from "../redis/ledger.ts";

/** A member of a ledger whose job gave up. */
export interface FailedMember extends Failure {
  kind: "user" | "fanout";
  member: string;
}

/** All failures of both ledgers, the latest first. */
export async function listFailures({ users, fanouts }: Pick<Store, "users" | "fanouts">): Promise<FailedMember[]> {
  const [ofUsers, ofFanouts] = await Promise.all([users.failures(), fanouts.failures()]);
  return [
    ...ofUsers.map(({ member, failure }) => ({ kind: "user" as const, member, ...failure })),
    ...ofFanouts.map(({ member, failure }) => ({ kind: "fanout" as const, member, ...failure })),
  ].sort((a, b) => b.failedAt - a.failedAt);
}
