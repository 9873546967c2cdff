import { setMaxListeners } from "node:events";
import type { Hono } from "hono";
import { type Definitions, KindlingError } from "kindling";
import { loadConfig } from "../config.ts";
import { createFetch, type Fetch } from "../fetch.ts";
import { trackRequests } from "../http/track-requests.ts";
import { createLog, errorFields, type Log } from "../log.ts";
import { openStore } from "../store.ts";
import type { Running } from "../world.ts";
import { createFlows, type Flows } from "./create-flows.ts";
import { createServiceApp } from "./run-server.ts";
import { startServiceWorkers } from "./run-workers.ts";

/** Options for {@link createService}. */
export interface ServiceOptions {
  /** The default export of the flags file. */
  definitions: Definitions;
  /** Settings by name: `KINDE_DOMAIN`, `REDIS_URL`, … Default: the environment. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Default: JSON lines on standard output at `KINDLING_LOG_LEVEL`. */
  log?: Log;
  /** Sends requests to Kinde; the global `fetch` is one. Default: a pool of connections. */
  fetch?: Fetch;
  /** Returns milliseconds since the epoch. Default: `Date.now`. */
  now?: () => number;
}

/** Kindling's endpoint and workers inside another process. */
export interface Service {
  /** `POST /webhooks/kinde`, `GET /healthz`, `GET /readyz` and, as far as tokens are configured, the routes that read and write. */
  app: Hono;
  /** Refreshes users and sets properties without HTTP. Await your own calls before {@link Service.close}. */
  flows: Pick<Flows, "refreshUser" | "setProperties">;
  /**
   * Starts the workers in this process. Any number of processes can run them; most deployments need one.
   *
   * @throws {KindlingError} `closed` after {@link Service.close}
   */
  startWorkers(): Running;
  /**
   * Answers new requests with 503, waits up to `KINDLING_SHUTDOWN_TIMEOUT` for active requests and jobs, then disconnects
   * from Redis. Calling it again returns the same promise.
   */
  close(): Promise<void>;
}

/**
 * Creates Kindling's endpoint and workers, so that a small product can run them in its own process.
 *
 * If Redis is wiped and a process of another Kinde tenant binds the store first, the service logs `tenant_mismatch` and closes.
 *
 * @throws {ConfigurationError} if settings are invalid
 * @throws {RedisError} if Redis does not answer, or is configured in a way that can lose data
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
 * const app = new Hono().route("/", service.app).get("/", (context) => context.text("Hello"));
 * const server = serve({ fetch: app.fetch, port: 3000 });
 * process.once("SIGTERM", async () => {
 *   server.close();
 *   await service.close();
 * });
 * ```
 */
export async function createService(options: ServiceOptions): Promise<Service> {
  const { definitions, env, fetch = createFetch(), now = Date.now } = options;
  const config = loadConfig(env);
  const log = options.log ?? createLog(config.logLevel);
  const world = { fetch, now };
  const store = await openStore(config, world, log);
  const flows = createFlows({ config, world, store, definitions });
  const { refreshUser, setProperties } = flows;
  const requests = trackRequests();
  const stopping = new AbortController();
  // Every request listens to this signal, so a high listener count is not a leak.
  setMaxListeners(0, stopping.signal);
  const running: Running[] = [];
  let closed: Promise<void> | undefined;
  const {
    app,
    endStreams,
    close: closeApp,
  } = await createServiceApp({
    config,
    world,
    log,
    store,
    setProperties,
    definitions,
    signal: stopping.signal,
    middleware: requests.middleware,
  });

  const shutDown = async () => {
    const { shutdownTimeoutMs } = config;
    // Leaves aborted requests a fifth of the time to answer.
    const timer = setTimeout(() => stopping.abort(new Error("shutting down")), shutdownTimeoutMs * 0.8);
    try {
      endStreams();
      await Promise.all([requests.close(shutdownTimeoutMs), ...running.map((workers) => workers.close())]);
    } finally {
      clearTimeout(timer);
      closeApp();
      await store.close();
    }
  };

  const close = () => {
    closed ??= shutDown();
    return closed;
  };
  const closeForeign = () => close().catch((error: unknown) => log.warn(errorFields(error), "not closed cleanly"));
  store.foreign.addEventListener("abort", closeForeign, { once: true });

  return {
    app,
    flows: { refreshUser, setProperties },
    startWorkers() {
      if (closed !== undefined) throw new KindlingError("closed", "The service is closed: create a new one.");
      const workers = startServiceWorkers({ config, world, log, store, flows });
      running.push(workers);
      return workers;
    },
    close,
  };
}
