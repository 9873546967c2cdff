import type { Config } from "../config.ts";
import { type Server, serve } from "../http/serve.ts";
import type { Log } from "../log.ts";
import { readMemory } from "../redis/memory.ts";
import { readReadableTimes } from "../redis/readable-times.ts";
import { listMetrics } from "../status/list-metrics.ts";
import { createMetricsApp } from "../status/metrics-route.ts";
import { readFigures } from "../status/read-status.ts";
import type { Store } from "../store.ts";
import type { World } from "../world.ts";

/** Serves the fleet's metrics on `KINDLING_METRICS_PORT`, if set. */
export async function runMetrics(config: Config, world: World, log: Log, store: Store): Promise<Server | undefined> {
  const { metricsPort, metricsHost: host, http } = config;
  if (metricsPort === undefined) return undefined;
  const read = async () => {
    const [figures, { ever }, activity, memory] = await Promise.all([
      readFigures(store, config, world.now()),
      readReadableTimes(store.redis, store.keys, world.now()),
      store.activity.read(),
      readMemory(...new Set([store.publicRedis, store.redis])),
    ]);
    return listMetrics({ figures, readable: ever, activity, memory });
  };
  const app = createMetricsApp({ read, now: world.now, log });
  const server = await serve(app, {
    host,
    port: metricsPort,
    requestTimeoutMs: http.requestTimeoutMs,
    maxConnections: http.maxConnections,
  });
  log.info({ host, port: server.port }, "metrics server listens");
  return server;
}
