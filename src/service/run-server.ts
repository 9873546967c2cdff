import { setMaxListeners } from "node:events";
import { Hono, type MiddlewareHandler } from "hono";
import type { Definitions } from "kindling";
import type { Config } from "../config.ts";
import type { Refuse } from "../http/body.ts";
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
import { noteSignIns, trailEvents } from "./keep-trail.ts";
import { hasReads, openReads } from "./open-reads.ts";
import { openApiRoute } from "./openapi.ts";

/** Dependencies of {@link createServiceApp}. */
export interface ServiceAppOptions {
  config: Config;
  world: World;
  log: Log;
  store: Store;
  /** The write route is mounted only with this function and a token with the scope `write`. */
  setProperties: SetProperties | undefined;
  /** The routes that read are mounted only with these, and if a kind of token for them is configured. */
  definitions: Definitions | undefined;
  /** Aborted when requests in progress must end. */
  signal: AbortSignal;
  /** Further routes, which an app that this one is mounted in does not want. Default: none. */
  moreRoutes?: readonly Hono[];
  /** Runs before every route except the health checks. */
  middleware?: MiddlewareHandler;
}

/** The app, and what it must finish when its server has closed. */
export interface ServiceApp {
  app: Hono;
  /** Refuses a request before it reaches the app. */
  refuse: Refuse;
  /** Ends all streams, which would otherwise keep a server from closing. */
  endStreams(): void;
  /** Logs the refused requests that are not logged yet. */
  close(): void;
}

/** Creates the Hono app that receives Kinde's webhooks and, as far as tokens are configured, reads flags and writes properties. */
export async function createServiceApp(options: ServiceAppOptions): Promise<ServiceApp> {
  const { config, world, log, store, setProperties, definitions, signal, middleware, moreRoutes = [] } = options;
  const { now } = world;
  const { redis, keys, queues, replication } = store;
  const { maxBodyBytes, trustedProxies, refusedPerMinute } = config.http;
  const { tokens, callsPerMinute } = config.api;
  const signingKeys = createSigningKeys({
    url: `${config.domain}/.well-known/jwks`,
    fetch: world.fetch,
    now,
    maxAgeMs: config.keys.maxAgeMs,
    cooldownMs: config.keys.cooldownMs,
    timeoutMs: config.kindeTimeoutMs,
    onError: (error) => log.warn(errorFields(error), "signing keys could not be fetched"),
  });
  const admissions = noteSignIns(
    store.recentUsers.note,
    trailEvents(
      store.trail,
      createAdmissions({
        redis,
        keys,
        queues,
        replication,
        burst: config.burst,
        onError: (error) => log.warn(errorFields(error), "event id could not be stored"),
      }),
    ),
  );
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
  if (setProperties !== undefined && hasWrites(config)) {
    const write = { setProperties, tokens, rate, maxBodyBytes, clientAddress, refuse, signal, log };
    routes.push(new Hono().route("/", setPropertiesRoute(write)));
  }
  const reads =
    definitions !== undefined && hasReads(config)
      ? await openReads({ config, world, log, store, definitions, signingKeys, refuse })
      : undefined;
  if (reads !== undefined) routes.push(reads.routes);
  routes.push(...moreRoutes);
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
  return {
    app,
    refuse,
    endStreams: () => reads?.endStreams(),
    async close() {
      reads?.close();
      await refusals.close();
    },
  };
}

function hasWrites({ api }: Config): boolean {
  return api.tokens.some(({ scopes }) => scopes.has("write"));
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
  const writes = hasWrites(config);
  const definitions = writes || hasReads(config) ? await loadDefinitions(config.flagsFile) : undefined;
  const setProperties =
    writes && definitions !== undefined ? createFlows({ config, world, store, definitions }).setProperties : undefined;
  const { app, refuse, endStreams, close } = await createServiceApp({
    config,
    world,
    log,
    store,
    setProperties,
    definitions,
    signal: stopping.signal,
    moreRoutes: [openApiRoute()],
  });
  const { host, port, http } = config;
  const server = await serve(app, {
    host,
    port,
    requestTimeoutMs: http.requestTimeoutMs,
    maxConnections: http.maxConnections,
    refuse,
  });
  log.info({ host, port: server.port }, "server listens");
  return {
    port: server.port,
    async close() {
      const timer = setTimeout(() => stopping.abort(new Error("shutting down")), config.shutdownTimeoutMs * 0.8);
      endStreams();
      await server.close();
      clearTimeout(timer);
      close();
    },
  };
}
