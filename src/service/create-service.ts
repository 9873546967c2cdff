import type { Hono } from "hono";
import type { Definitions } from "kindling";
import { loadConfig } from "../config.ts";
import { createLog, type Log } from "../log.ts";
import { openStore } from "../store.ts";
import type { Running } from "../world.ts";
import { createFlows, type Flows } from "./create-flows.ts";
import { createServiceApp } from "./run-server.ts";
import { startServiceWorkers } from "./run-workers.ts";

/** Options for {@link createService}. */
export interface ServiceOptions {
  /** What the flags file exports. */
  definitions: Definitions;
  /** Settings by name: `KINDE_DOMAIN`, `REDIS_URL`, … Default: the environment. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Where the service logs. Default: JSON lines on standard output at `KINDLING_LOG_LEVEL`. */
  log?: Log;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  now?: () => number;
}

/** Kindling inside a process of yours. */
export interface Service {
  /** `POST /webhooks/kinde`, `GET /healthz`, `GET /readyz` and, with `KINDLING_API_TOKEN`, the write route. */
  app: Hono;
  /** Writes and refreshes, without HTTP. */
  flows: Pick<Flows, "refreshUser" | "setProperties">;
  /** Starts the workers in this process. Any number of processes may; most need one. */
  startWorkers(): Running;
  /** Ends the workers within `KINDLING_SHUTDOWN_TIMEOUT`, then disconnects. */
  close(): Promise<void>;
}

/**
 * Composes Kindling's endpoint and workers, so that a small product can run them in its own process.
 *
 * @throws {ConfigurationError} when settings do not fit
 * @throws {RedisError} when Redis does not answer or must not hold the data
 *
 * @example
 * ```ts
 * import { serve } from "@hono/node-server";
 * import { Hono } from "hono";
 * import { createService } from "kindling-server";
 * import definitions from "./kindling.flags.js";
 *
 * const service = await createService({ definitions });
 * service.startWorkers();
 * const app = new Hono().route("/", service.app).get("/", (context) => context.text("the product"));
 * const server = serve({ fetch: app.fetch, port: 3000 });
 * process.once("SIGTERM", async () => {
 *   server.close();
 *   await service.close();
 * });
 * ```
 */
export async function createService(options: ServiceOptions): Promise<Service> {
  const { definitions, env, fetch = globalThis.fetch, now = Date.now } = options;
  const config = loadConfig(env);
  const log = options.log ?? createLog(config.logLevel);
  const world = { fetch, now };
  const store = await openStore(config, world, log);
  const flows = createFlows({ config, world, store, definitions });
  const stopping = new AbortController();
  const { refreshUser, setProperties } = flows;
  const running: Running[] = [];
  return {
    app: createServiceApp({ config, world, log, store, setProperties, signal: stopping.signal }),
    flows: { refreshUser, setProperties },
    startWorkers() {
      const workers = startServiceWorkers({ config, world, log, store, flows });
      running.push(workers);
      return workers;
    },
    async close() {
      await Promise.all(running.splice(0).map((part) => part.close()));
      stopping.abort(new Error("shutting down"));
      await store.close();
    },
  };
}
