import { Hono } from "hono";
import { failure } from "../http/failure.ts";
import { errorFields, type Log } from "../log.ts";
import { type Metric, metricsContentType, renderMetrics } from "./render-metrics.ts";

/** What the metrics endpoint needs. */
export interface MetricsAppOptions {
  read: () => Promise<readonly Metric[]>;
  now: () => number;
  log: Log;
}

/** However many ask, Redis is asked once in so many milliseconds. */
const maxAgeMs = 5_000;

/** `GET /metrics`, for a port that is not reached from outside: it asks for no credentials. */
export function createMetricsApp({ read, now, log }: MetricsAppOptions): Hono {
  let held: { at: number; text: Promise<string> } | undefined;
  const text = () => {
    if (held === undefined || now() - held.at > maxAgeMs) held = { at: now(), text: read().then(renderMetrics) };
    return held.text;
  };
  const app = new Hono();
  app.get("/metrics", async (context) => {
    try {
      return context.body(await text(), 200, { "content-type": metricsContentType });
    } catch (error) {
      held = undefined;
      log.warn(errorFields(error), "metrics not read");
      return context.json(failure("store_unavailable", "Redis does not answer."), 503);
    }
  });
  app.notFound((context) => context.json(failure("not_found", "There is nothing here but /metrics."), 404));
  return app;
}
