import type { Store } from "../compose/open-store.ts";
import type { FanoutSubject } from "../webhook/route-event.ts";
import type { FailedMember } from "./failures.ts";

const batchSize = 500;

/** What a new access token may mend: scopes are in a token from its issue on. */
const mendedByToken: ReadonlySet<string> = new Set(["kinde_forbidden", "kinde_unauthorized"]);

/**
 * Enqueues what failed again, at low priority: it may be everybody, and fresh events must not wait behind them. It
 * leaves the failures when a refresh succeeds. If a missing scope or a refused token was among the reasons, the fleet
 * forgets its access token before: whoever is refused with the old one gets another, one for all.
 */
export async function reenqueue(
  { queues, accessToken }: Pick<Store, "queues" | "accessToken">,
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
