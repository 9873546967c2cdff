import type { Commits } from "./commits.ts";
import type { Found } from "./compose-answer.ts";
import { nothing, within } from "./redis.ts";
import type { RequestRefresh } from "./request-refresh.ts";

/**
 * Requests a refresh and waits, at most `patience` milliseconds, for a record fetched at `since` or later. Redis has at
 * most `spare` milliseconds more to answer.
 */
export type WaitForFresh = (
  userId: string,
  found: Found,
  since: number,
  patience: number,
  spare: number,
) => Promise<Found>;

/** Options for {@link createWaitForFresh}. */
export interface WaitForFreshOptions {
  look: (userId: string, ms: number) => Promise<Found>;
  requestRefresh: RequestRefresh;
  commits: Commits | undefined;
}

/** Creates a wait that does not poll: Redis announces each commit. */
export function createWaitForFresh({ look, requestRefresh, commits }: WaitForFreshOptions): WaitForFresh {
  return async (userId, found, since, patience, spare) => {
    const deadline = performance.now() + patience;
    const left = () => deadline - performance.now();
    const leftForRedis = () => left() + spare;
    const isFresh = ({ status, record }: Found) =>
      status === "deleted" || (record !== undefined && record.fetchedAt >= since);

    let wake = () => {};
    let woken = false;
    const watch = commits?.watch(userId, () => {
      woken = true;
      wake();
    });
    try {
      const ready = (watch?.ready ?? Promise.reject()).then(
        () => true,
        () => false,
      );
      // Subscribe before requesting, or a quick commit goes unnoticed. A connection that is slow must not use up the wait.
      let listening = await within(Math.min(left(), spare), () => ready);
      let latest = found;
      let requested = false;
      for (;;) {
        const committed = new Promise<true>((resolve) => {
          wake = () => resolve(true);
        });
        requested ||= await requestRefresh([userId], since, "now", leftForRedis());
        const current = await look(userId, leftForRedis());
        // If Redis stops answering meanwhile, the earlier answer is better than none.
        if (current.status !== "unavailable") latest = current;
        // A message without a record: Kinde does not know the user.
        const unknown = woken && latest.status === "missing";
        if (isFresh(latest) || unknown || !requested || listening === false) return latest;
        const heard = await within<boolean>(left(), () => (listening === true ? committed : ready));
        if (heard === nothing) {
          // The message of a commit can be lost: Redis delivers it at most once.
          const last = await look(userId, leftForRedis());
          return last.status === "unavailable" ? latest : last;
        }
        listening = heard;
      }
    } finally {
      watch?.stop();
    }
  };
}
