import { Hono } from "hono";
import { failure } from "../http/body.ts";
import { errorFields, type Log } from "../log.ts";
import { type Metric, metricsContentType, renderMetrics } from "./render-metrics.ts";

/** Options for {@link createMetricsApp}. */
export interface MetricsAppOptions {
  read: () => Promise<readonly Metric[]>;
  now: () => number;
  log: Log;
}

/** Scrapes within this time share one read of Redis. */
const maxAgeMs = 5_000;

/** Serves `GET /metrics`. It asks for no credentials, so its port must not be public. */
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
      return context.json(failure("store_unavailable", "Redis does not answer: try again."), 503);
    }
  });
  app.notFound((context) => context.json(failure("not_found", "Not found. The only route is GET /metrics."), 404));
  return app;
}
