import { setTimeout as delay } from "node:timers/promises";
import type { MiddlewareHandler } from "hono";
import { failure } from "./body.ts";

/** The requests in progress. */
export interface RequestTracker {
  middleware: MiddlewareHandler;
  /** Answers new requests with 503 and resolves once those in progress are answered, at the latest after `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

/** Tracks requests, so that an app whose server belongs to someone else can shut down after its last answer. */
export function trackRequests(): RequestTracker {
  let active = 0;
  let closing = false;
  let onIdle = () => {};
  return {
    async middleware(context, next) {
      if (closing) {
        const body = failure("shutting_down", "This process is shutting down: send the request again.");
        return context.json(body, 503, { "Retry-After": "1" });
      }
      active += 1;
      try {
        await next();
      } finally {
        active -= 1;
        if (active === 0) onIdle();
      }
    },
    async close(timeoutMs) {
      closing = true;
      if (active === 0) return;
      const answered = new AbortController();
      onIdle = () => answered.abort();
      await delay(timeoutMs, undefined, { signal: answered.signal }).catch(() => undefined);
    },
  };
}
