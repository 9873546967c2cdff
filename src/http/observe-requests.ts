import { SpanStatusCode } from "@opentelemetry/api";
import type { Context, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import type { Log } from "../log.ts";
import { inSpan } from "../trace.ts";

/** Options for {@link observeRequests}. */
export interface ObserveOptions {
  /** Counts an answer. The route is a pattern, so that the number of counters is fixed. */
  count: (route: string, status: number) => void;
  log: Pick<Log, "info">;
  /** Share of requests that leave a line in the log, from 0 to 1. */
  logShare: number;
  /** Returns a number from 0 to 1, for tests. Default: `Math.random`. */
  random?: () => number;
}

/** Creates middleware that counts answers, logs a sample of them and traces each request. */
export function observeRequests({ count, log, logShare, random = Math.random }: ObserveOptions): MiddlewareHandler {
  return async (context, next) => {
    const began = performance.now();
    await inSpan("request", { kind: "server" }, async (span) => {
      await next();
      const route = routeOf(context);
      const { status } = context.res;
      count(route, status);
      span?.updateName(route);
      span?.setAttributes({ "http.route": route, "http.response.status_code": status });
      if (status >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
      if (random() < logShare) log.info({ route, status, ms: Math.round(performance.now() - began) }, "request");
    });
  };
}

/** Returns the pattern of the route that answered. A path that a caller chose must not become a label. */
function routeOf(context: Context): string {
  const found = matchedRoutes(context).findLast(({ method }) => method !== "ALL");
  return found === undefined ? "other" : `${found.method} ${found.path.replace(/:(\w+)(\{[^/]*\})?/g, "{$1}")}`;
}
