import type { MiddlewareHandler } from "hono";
import type { Redis } from "ioredis";
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { errorFields, type Log } from "../log.ts";
import { failure } from "./body.ts";

/** Options for {@link limitRate}. */
export interface LimitRateOptions {
  redis: Redis;
  /** Redis key: requests counted under the same key share one limit, across all processes. */
  key: string;
  perMinute: number;
  log: Log;
}

/** Rejects requests above the fleet-wide limit per minute with 429 and `Retry-After` in seconds. */
export function limitRate({ redis, key, perMinute, log }: LimitRateOptions): MiddlewareHandler {
  const limiter = new RateLimiterRedis({ storeClient: redis, keyPrefix: key, points: perMinute, duration: 60 });
  return async (context, next) => {
    try {
      await limiter.consume("requests");
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) {
        log.warn({ status: 503, ...errorFields(refusal) }, "request not counted");
        return context.json(failure("store_unavailable", "Redis does not answer: try again later."), 503);
      }
      const seconds = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000));
      const message = `More than ${perMinute} requests per minute (KINDLING_API_CALLS_PER_MINUTE): try again in ${seconds} s.`;
      return context.json(failure("too_many_requests", message), 429, { "Retry-After": String(seconds) });
    }
    return next();
  };
}
