import type { PublicKeys } from "../keys.ts";
import type { ReaderRedis } from "./redis.ts";
import { nothing, within } from "./redis.ts";

/**
 * Asks the workers to have these users' records stem from a fetch begun at `since` or later (milliseconds since the epoch).
 * However many ask, they cause one refresh. Answers whether the wish was taken down.
 */
export type RequestRefresh = (userIds: readonly string[], since: number, urgency: "now" | "later") => Promise<boolean>;

/** What asking needs. */
export interface AskForRefreshOptions {
  redis: ReaderRedis;
  keys: Pick<PublicKeys, "refreshRequests">;
  timeoutMs: number;
  now: () => number;
}

/** After a refusal (a read-only user, a Redis in trouble) nobody asks again for so long, in milliseconds. */
const refusedMs = 30_000;

/** Asking, in one small command. */
export function createRequestRefresh({ redis, keys, timeoutMs, now }: AskForRefreshOptions): RequestRefresh {
  let refusedAt = Number.NEGATIVE_INFINITY;
  return async (userIds, since, urgency) => {
    if (userIds.length === 0) return true;
    if (redis.zadd === undefined || now() - refusedAt < refusedMs) return false;
    // Of several wishes for one user the most demanding counts.
    const answer = await within(timeoutMs, async () =>
      redis.zadd?.(keys.refreshRequests[urgency], "GT", ...userIds.flatMap((userId) => [since, userId])),
    );
    if (answer === nothing) refusedAt = now();
    return answer !== nothing;
  };
}
