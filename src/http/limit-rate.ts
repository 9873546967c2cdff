import type { MiddlewareHandler } from "hono";
import type { Cluster, Redis } from "ioredis";
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import type { Refuse } from "./body.ts";

/** Options for {@link limitRate}. */
export interface LimitRateOptions {
  redis: Redis | Cluster;
  /** Redis key: requests counted under the same key share one limit, across all processes. */
  key: string;
  perMinute: number;
  /** Name of the route for counters and the log. */
  route: string;
  refuse: Refuse;
}

const minuteMs = 60_000;

/** Rejects requests above the fleet-wide limit per minute with 429 and `Retry-After` in seconds. */
export function limitRate({ redis, key, perMinute, route, refuse }: LimitRateOptions): MiddlewareHandler {
  const limiter = new RateLimiterRedis({ storeClient: redis, keyPrefix: key, points: perMinute, duration: 60 });
  return async (context, next) => {
    try {
      await limiter.consume("requests");
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) {
        const message = "Redis does not answer: try again later.";
        return refuse(context, { route, status: 503, code: "store_unavailable", message, cause: refusal });
      }
      const waitMs = Math.min(refusal.msBeforeNext, minuteMs);
      // Its lifetime grew because Redis' clock stepped back. The next refusal repeats what fails here.
      if (waitMs < refusal.msBeforeNext)
        await redis.pexpire(limiter.getKey("requests"), minuteMs).catch(() => undefined);
      const retryAfter = Math.max(1, Math.ceil(waitMs / 1000));
      const message = `More than ${perMinute} requests per minute (KINDLING_API_CALLS_PER_MINUTE): try again in ${retryAfter} s.`;
      return refuse(context, { route, status: 429, code: "too_many_requests", message, retryAfter, blame: false });
    }
    return next();
  };
}
