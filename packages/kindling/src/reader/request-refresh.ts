import type { PublicKeys } from "../keys.ts";
import { isUserId } from "../profile.ts";
import { isPermissionDenied, nothing, type ReaderRedis, within } from "./redis.ts";

/**
 * Requests a refresh of these users by a fetch that starts at `since` (milliseconds since the epoch) or later. Requests
 * of several readers for one user cause one refresh. Resolves to whether the requests were recorded; never rejects.
 */
export type RequestRefresh = (
  userIds: readonly string[],
  since: number,
  urgency: "now" | "later",
  /** Longest wait for Redis in milliseconds. Default: the reader's. */
  ms?: number,
) => Promise<boolean>;

/** Options for {@link createRequestRefresh}. */
export interface RequestRefreshOptions {
  redis: ReaderRedis;
  keys: Pick<PublicKeys, "refreshRequests">;
  timeoutMs: number;
  now: () => number;
}

/** Pause after a refused request, in milliseconds: a read-only user would otherwise be refused on every read. */
const pauseMs = 30_000;

/** Creates the function that records refresh requests, each call in one `ZADD`. */
export function createRequestRefresh({ redis, keys, timeoutMs, now }: RequestRefreshOptions): RequestRefresh {
  let refusedAt = Number.NEGATIVE_INFINITY;
  return async (userIds, since, urgency, ms = timeoutMs) => {
    // The workers drop anything else, and a caller must not wait for it.
    const valid = userIds.filter(isUserId);
    // The clock can be set back meanwhile.
    const isRefused = Math.abs(now() - refusedAt) < pauseMs;
    if (valid.length === 0 || redis.zadd === undefined || isRefused) return false;
    // GT: of several requests for one user, the most demanding one remains.
    const answer = await within(ms, async () => {
      try {
        return await redis.zadd?.(keys.refreshRequests[urgency], "GT", ...valid.flatMap((userId) => [since, userId]));
      } catch (error) {
        if (isPermissionDenied(error)) refusedAt = now();
        throw error;
      }
    });
    return answer !== nothing;
  };
}
