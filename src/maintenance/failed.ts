import { discardPushes, type FailedPush, listFailedPushes, retryPushes } from "../push/queues.ts";
import { type FailedMember, listFailures, reenqueue } from "../refresh/failures.ts";
import type { Store } from "../store.ts";

/** A refresh, a fan-out or a delivery that used up its attempts. */
export type Failed = FailedMember | FailedPush;

/** Lists everything that failed: refreshes and fan-outs first, each group latest first. */
export async function listFailed(store: Store): Promise<Failed[]> {
  const [refreshes, pushes] = await Promise.all([listFailures(store), listFailedPushes(store.queues.pushes)]);
  return [...refreshes, ...pushes];
}

/** Enqueues failures again. Each stays listed until it succeeds. */
export async function retryFailed(store: Store, failures: readonly Failed[]): Promise<void> {
  const { refreshes, pushes } = split(failures);
  await reenqueue(store, refreshes);
  await retryPushes(store.queues.pushes, pushes);
}

/** Removes failures from the list without a refresh. */
export async function discardFailed(store: Store, failures: readonly Failed[]): Promise<void> {
  const { refreshes, pushes } = split(failures);
  for (const { kind, member } of refreshes) {
    await (kind === "user" ? store.ledger : store.fanoutLedger).discard(member);
  }
  await discardPushes(store.queues.pushes, pushes);
}

function split(failures: readonly Failed[]) {
  return {
    refreshes: failures.filter((failure) => failure.kind !== "push"),
    pushes: failures.filter((failure) => failure.kind === "push").map(({ member }) => member),
  };
}
