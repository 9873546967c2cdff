import { setMaxListeners } from "node:events";
import type { Config } from "../config.ts";
import { createApp } from "../http/create-app.ts";
import { type Server, serve } from "../http/serve.ts";
import { createSigningKeys } from "../kinde/signing-keys.ts";
import { loadDefinitions } from "../load-definitions.ts";
import { errorFields, type Log } from "../log.ts";
import { createAdmissions } from "../webhook/admit.ts";
import type { Running, World } from "../world.ts";
import { createRefresh } from "./create-refresh.ts";
import type { Store } from "./open-store.ts";

/** The HTTP side: takes webhooks, and writes where a token for it is set. */
export async function runServer(config: Config, world: World, log: Log, store: Store): Promise<Running & Server> {
  const keys = createSigningKeys({
    url: `${config.domain}/.well-known/jwks`,
    fetch: world.fetch,
    now: world.now,
    ...config.keys,
    timeoutMs: config.kindeTimeoutMs,
    onError: (error) => log.warn(errorFields(error), "signing keys not fetched"),
  });
  const admissions = createAdmissions({
    ...store,
    now: world.now,
    rememberMs: config.event.maxAgeMs + config.event.maxSkewMs,
    burst: config.burst,
    onError: (error) => log.warn(errorFields(error), "event id not remembered"),
  });
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const writes = await openWrites(config, world, log, store, stopping.signal);
  const app = createApp({
    keys,
    admissions,
    redis: store.redis,
    event: config.event,
    refreshOnSignIn: config.refreshOnSignIn,
    maxBodyBytes: config.http.maxBodyBytes,
    now: world.now,
    log,
    ...(writes !== undefined && { writes }),
  });
  const server = await serve(app, { host: config.host, port: config.port, ...config.http });
  log.info({ host: config.host, port: server.port }, "server listens");
  void keys.ready();
  return {
    port: server.port,
    async close() {
      const timer = setTimeout(() => stopping.abort(new Error("shutting down")), config.shutdownTimeoutMs * 0.8);
      await server.close();
      clearTimeout(timer);
    },
  };
}

/** What the write-through route needs, the flags file included; nothing where no token is set. */
async function openWrites(config: Config, world: World, log: Log, store: Store, signal: AbortSignal) {
  const { token, callsPerMinute } = config.writeApi;
  if (token === undefined) return undefined;
  const { setProperties } = createRefresh(config, world, store, await loadDefinitions(config.flagsFile));
  const rate = { redis: store.redis, key: store.keys.apiCalls, perMinute: callsPerMinute, log };
  return { setProperties, token, rate, signal };
}
