import type { MiddlewareHandler } from "hono";
import type { Redis } from "ioredis";
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { errorFields, type Log } from "../log.ts";
import { failure } from "./failure.ts";

/** How many requests, and where they are counted. */
export interface LimitRateOptions {
  redis: Redis;
  /** Key in Redis: what counts under one key is limited together, in all processes. */
  key: string;
  perMinute: number;
  log: Log;
}

/** Refuses requests beyond so many a minute of the whole fleet: 429 with `Retry-After` in seconds. */
export function limitRate({ redis, key, perMinute, log }: LimitRateOptions): MiddlewareHandler {
  const limiter = new RateLimiterRedis({ storeClient: redis, keyPrefix: key, points: perMinute, duration: 60 });
  return async (context, next) => {
    try {
      await limiter.consume("requests");
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) {
        log.warn({ status: 503, ...errorFields(refusal) }, "request not counted");
        return context.json(failure("store_unavailable", "Redis does not answer: try again."), 503);
      }
      const seconds = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000));
      const words = `More than ${perMinute} requests a minute (KINDLING_API_CALLS_PER_MINUTE): wait ${seconds} s.`;
      return context.json(failure("too_many_requests", words), 429, { "Retry-After": String(seconds) });
    }
    return next();
  };
}
