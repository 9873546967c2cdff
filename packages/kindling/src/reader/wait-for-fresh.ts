import type { Commits } from "./commits.ts";
import type { Found } from "./compose-answer.ts";
import { nothing, within } from "./redis.ts";
import type { RequestRefresh } from "./request-refresh.ts";

/** Has a user refreshed and waits, `patience` milliseconds at most, for a record that stems from `since` or later. */
export type WaitForFresh = (userId: string, found: Found, since: number, patience: number) => Promise<Found>;

/** What waiting needs. */
export interface WaitForFreshOptions {
  look: (userId: string) => Promise<Found>;
  ask: RequestRefresh;
  commits: Commits | undefined;
}

/** Waiting without asking again and again: Redis tells of each commit. */
export function createWaitForFresh({ look, ask, commits }: WaitForFreshOptions): WaitForFresh {
  return async (userId, found, since, patience) => {
    const deadline = performance.now() + patience;
    const left = () => deadline - performance.now();
    const isFresh = ({ status, record }: Found) =>
      status === "deleted" || (record !== undefined && record.fetchedAt >= since);

    let wake = () => {};
    const watch = commits?.watch(userId, () => wake());
    try {
      // Listening before asking: the answer might come between the two.
      const listening = watch !== undefined && (await within(left(), () => watch.ready)) !== nothing;
      let latest = found;
      let asked = false;
      for (;;) {
        const committed = new Promise<void>((resolve) => {
          wake = resolve;
        });
        asked ||= await ask([userId], since, "now");
        const current = await look(userId);
        // An answer that came once is better than none now.
        if (current.status !== "unavailable") latest = current;
        if (isFresh(latest) || !asked || !listening) return latest;
        if ((await within(left(), () => committed)) === nothing) return latest;
      }
    } finally {
      watch?.stop();
    }
  };
}
