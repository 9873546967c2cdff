import type { FanoutSubject } from "../kinde/route-event.ts";
import type { Store } from "./compose.ts";
import type { FailedMember } from "./failures.ts";

const batchSize = 500;

/**
 * Enqueues what failed again, at low priority: it may be everybody, and fresh events must not wait behind them. It
 * leaves the failures when a refresh succeeds.
 */
export async function reenqueue(
  { queues }: Pick<Store, "queues">,
  failures: readonly Pick<FailedMember, "kind" | "member">[],
): Promise<void> {
  for (let start = 0; start < failures.length; start += batchSize) {
    const batch = failures.slice(start, start + batchSize);
    const users = batch.filter(({ kind }) => kind === "user");
    const subjects = batch.filter(({ kind }) => kind === "fanout").map(({ member }) => member);
    await queues.enqueueReprocess(users.map(({ member }) => member));
    await queues.enqueueFanouts(subjects.filter((member): member is FanoutSubject => member.includes(":")));
  }
}
