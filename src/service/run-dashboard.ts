import { hkdfSync } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Config } from "../config.ts";
import { createDashboard } from "../dashboard/create-dashboard.tsx";
import { createKindeSignIn } from "../dashboard/kinde-sign-in.ts";
import { createClientAddress } from "../http/client-address.ts";
import { createRefusals } from "../http/refusals.ts";
import { serve } from "../http/serve.ts";
import { createSigningKeys } from "../kinde/signing-keys.ts";
import { createUserTokens } from "../kinde/user-tokens.ts";
import { loadDefinitions } from "../load-definitions.ts";
import { errorFields, type Log } from "../log.ts";
import type { Store } from "../store.ts";
import type { Running, World } from "../world.ts";
import { createFlows } from "./create-flows.ts";

/** A dashboard that is served. */
export interface RunningDashboard extends Running {
  url: string;
}

/** Serves the dashboard on its own port until it is closed. */
export async function runDashboard(config: Config, world: World, log: Log, store: Store): Promise<RunningDashboard> {
  const { dashboard, http } = config;
  const { now } = world;
  const stopping = new AbortController();
  // Every request listens to this signal, so a high listener count is not a leak.
  setMaxListeners(0, stopping.signal);
  const definitions = await loadDefinitions(config.flagsFile);
  const clientAddress = createClientAddress(http.trustedProxies);
  const refusals = createRefusals({
    clientAddress,
    perMinute: http.refusedPerMinute,
    count: store.refusedRequests.count,
    log,
    now,
  });
  const secret = hkdfSync("sha256", config.clientSecret, config.prefix, "kindling dashboard cookies", 32);
  const { app, endStreams } = createDashboard({
    config,
    store,
    operations: createFlows({ config, world, store, definitions }),
    definitions,
    kinde: openSignIn(config, world, log),
    // Every process of the fleet derives the same secret, and no setting of its own is needed.
    secret: new Uint8Array(secret),
    clientAddress,
    refuse: refusals.refuse,
    signal: stopping.signal,
    now,
    log,
  });
  const server = await serve(app, {
    host: dashboard.host,
    port: dashboard.port,
    requestTimeoutMs: http.requestTimeoutMs,
    maxConnections: http.maxConnections,
    refuse: refusals.refuse,
  });
  const host = dashboard.host.includes(":") ? `[${dashboard.host}]` : dashboard.host;
  const url = dashboard.url ?? `http://${host}:${server.port}`;
  log.info({ host: dashboard.host, port: server.port, url }, "dashboard listens");
  return {
    url,
    async close() {
      const timer = setTimeout(() => stopping.abort(new Error("shutting down")), config.shutdownTimeoutMs * 0.8);
      endStreams();
      await server.close();
      clearTimeout(timer);
      refusals.close();
    },
  };
}

function openSignIn({ dashboard: { application }, ...config }: Config, { fetch, now }: World, log: Log) {
  if (application === undefined) return undefined;
  const keys = createSigningKeys({
    url: `${config.domain}/.well-known/jwks`,
    fetch,
    now,
    maxAgeMs: config.keys.maxAgeMs,
    cooldownMs: config.keys.cooldownMs,
    timeoutMs: config.kindeTimeoutMs,
    onError: (error) => log.warn(errorFields(error), "signing keys could not be fetched"),
  });
  const clientIds = new Set([application.clientId]);
  return createKindeSignIn({
    domain: config.domain,
    application,
    userTokens: createUserTokens({ keys, issuer: config.domain, clientIds, now, maxKnown: 100 }),
    timeoutMs: config.kindeTimeoutMs,
  });
}
