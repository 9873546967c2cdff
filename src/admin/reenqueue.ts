import type { FanoutSubject } from "../kinde/route-event.ts";
import type { Store } from "./compose.ts";
import type { FailedMember } from "./failures.ts";

const batchSize = 500;

/** Enqueues what failed again, at normal priority. It leaves the failures when a refresh succeeds. */
export async function reenqueue(
  { queues }: Pick<Store, "queues">,
  failures: readonly Pick<FailedMember, "kind" | "member">[],
): Promise<void> {
  for (let start = 0; start < failures.length; start += batchSize) {
    const batch = failures.slice(start, start + batchSize);
    const users = batch.filter(({ kind }) => kind === "user");
    const subjects = batch.filter(({ kind }) => kind === "fanout").map(({ member }) => member);
    await queues.enqueueRefreshes(users.map(({ member }) => ({ userId: member, delayMs: 0 })));
    await queues.enqueueFanouts(subjects.filter((member): member is FanoutSubject => member.includes(":")));
  }
}
