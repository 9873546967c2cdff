import { setMaxListeners } from "node:events";
import { Hono, type MiddlewareHandler } from "hono";
import type { Config } from "../config.ts";
import { createClientAddress } from "../http/client-address.ts";
import { createApp } from "../http/create-app.ts";
import { observeRequests } from "../http/observe-requests.ts";
import { createRefusals } from "../http/refusals.ts";
import { type Server, serve } from "../http/serve.ts";
import { createSigningKeys } from "../kinde/signing-keys.ts";
import { loadDefinitions } from "../load-definitions.ts";
import { errorFields, type Log } from "../log.ts";
import type { SetProperties } from "../refresh/set-properties.ts";
import { setPropertiesRoute } from "../refresh/set-properties-route.ts";
import type { Store } from "../store.ts";
import { createAdmissions } from "../webhook/admit.ts";
import { kindeWebhook } from "../webhook/route.ts";
import type { Running, World } from "../world.ts";
import { createFlows } from "./create-flows.ts";

/** Dependencies of {@link createServiceApp}. */
export interface ServiceAppOptions {
  config: Config;
  world: World;
  log: Log;
  store: Store;
  /** The write route is mounted only with this function and `KINDLING_API_TOKEN`. */
  setProperties: SetProperties | undefined;
  /** Aborted when requests in progress must end. */
  signal: AbortSignal;
  /** Runs before every route except the health checks. */
  middleware?: MiddlewareHandler;
}

/** The app, and what it must finish when its server has closed. */
export interface ServiceApp {
  app: Hono;
  /** Logs the refused requests that are not logged yet. */
  close(): void;
}

/** Creates the Hono app that receives Kinde's webhooks and, if a token is set, writes properties. */
export function createServiceApp(options: ServiceAppOptions): ServiceApp {
  const { config, world, log, store, setProperties, signal, middleware } = options;
  const { now } = world;
  const { redis, keys, queues } = store;
  const { maxBodyBytes, trustedProxies, refusedPerMinute } = config.http;
  const { token, callsPerMinute } = config.writeApi;
  const signingKeys = createSigningKeys({
    url: `${config.domain}/.well-known/jwks`,
    fetch: world.fetch,
    now,
    maxAgeMs: config.keys.maxAgeMs,
    cooldownMs: config.keys.cooldownMs,
    timeoutMs: config.kindeTimeoutMs,
    onError: (error) => log.warn(errorFields(error), "signing keys could not be fetched"),
  });
  const admissions = createAdmissions({
    redis,
    keys,
    queues,
    burst: config.burst,
    onError: (error) => log.warn(errorFields(error), "event id could not be stored"),
  });
  const clientAddress = createClientAddress(trustedProxies);
  const refusals = createRefusals({
    clientAddress,
    perMinute: refusedPerMinute,
    count: store.refusedRequests.count,
    log,
    now,
  });
  const { refuse } = refusals;
  const webhook = kindeWebhook({
    keys: signingKeys,
    admissions,
    event: { ...config.event, issuers: config.issuers },
    refreshOnSignIn: config.refreshOnSignIn,
    maxBodyBytes,
    now,
    refuse,
  });
  const rate = { redis, key: keys.apiCalls, perMinute: callsPerMinute };
  const routes: Hono[] = [webhook];
  if (setProperties !== undefined && token !== undefined) {
    const tokens = [{ name: "KINDLING_API_TOKEN", value: token }];
    const write = { setProperties, tokens, rate, maxBodyBytes, clientAddress, refuse, signal, log };
    routes.push(new Hono().route("/", setPropertiesRoute(write)));
  }
  void signingKeys.ready();
  const observe = observeRequests({ count: store.activity.countAnswer, log, logShare: config.http.accessLogShare });
  const app = createApp({
    routes: [guard(routes, middleware === undefined ? [observe] : [observe, middleware]), ...routes],
    readiness: async () => {
      const redisAnswers = redis.ping().then(
        () => true,
        () => false,
      );
      const [redisReady, keysReady] = await Promise.all([redisAnswers, signingKeys.ready()]);
      return { redis: redisReady, keys: keysReady };
    },
    log,
  });
  return { app, close: refusals.close };
}

/** Registers the middleware for the paths of the routes only, because the app can be mounted next to other routes. */
function guard(routes: readonly Hono[], middleware: readonly MiddlewareHandler[]): Hono {
  const paths = new Set(routes.flatMap((route) => route.routes.map(({ path }) => path)));
  const app = new Hono();
  for (const path of paths) app.use(path, ...middleware);
  return app;
}

/** Serves the app until it is closed. */
export async function runServer(config: Config, world: World, log: Log, store: Store): Promise<Running & Server> {
  const stopping = new AbortController();
  // Every request listens to this signal, so a high listener count is not a leak.
  setMaxListeners(0, stopping.signal);
  const setProperties = config.writeApi.token === undefined ? undefined : await openWrites(config, world, store);
  const { app, close } = createServiceApp({ config, world, log, store, setProperties, signal: stopping.signal });
  const { host, port, http } = config;
  const server = await serve(app, {
    host,
    port,
    requestTimeoutMs: http.requestTimeoutMs,
    maxConnections: http.maxConnections,
  });
  log.info({ host, port: server.port }, "server listens");
  return {
    port: server.port,
    async close() {
      const timer = setTimeout(() => stopping.abort(new Error("shutting down")), config.shutdownTimeoutMs * 0.8);
      await server.close();
      clearTimeout(timer);
      close();
    },
  };
}

async function openWrites(config: Config, world: World, store: Store): Promise<SetProperties> {
  const definitions = await loadDefinitions(config.flagsFile);
  return createFlows({ config, world, store, definitions }).setProperties;
}
