import { setMaxListeners } from "node:events";
import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { managementRoutes, mountManagementApi } from "./api/management-api.ts";
import { createTornReads } from "./api/torn-reads.ts";
import { mountAuth } from "./auth/routes.ts";
import { mountControl } from "./control/routes.ts";
import { listen } from "./http/listen.ts";
import { createPipeline } from "./http/pipeline.ts";
import { createTenant, type Tenant } from "./tenant.ts";
import type { Emulator, EmulatorOptions } from "./types.ts";

/**
 * Starts Kinde on localhost: keys, tokens, the Management API, webhook deliveries, and faults on demand.
 *
 * @example
 * const emulator = await createEmulator({ users: 1000, retryTimeScale: 0.001 });
 * process.env.KINDE_DOMAIN = emulator.url;
 */
export async function createEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { host = "127.0.0.1", port = 0 } = options;
  const closing = new AbortController();
  // Every call that is made late listens to it: many at once are no leak.
  setMaxListeners(0, closing.signal);
  let url = "";
  const issuer = () => url;
  const tenant = await createTenant(options, issuer);
  const { keys, tokens, faults, deliveries, counter, onEvent } = tenant;

  const app = new Hono<{ Bindings: HttpBindings }>();
  const pipeline = createPipeline({ faults, counter, onEvent, closing: closing.signal });
  mountAuth(app, pipeline, { keys, tokens, faults, issuer });
  mountManagementApi(app, pipeline, tokens, managementRoutes(apiDeps(tenant)));

  const emulator = faceOf(tenant, issuer, async () => {
    closing.abort();
    deliveries.close();
    await listening.close();
  });
  mountControl(app, emulator, faults);
  const listening = await listen(app, host, port);
  url = `http://${addressOf(host)}:${listening.port}`;
  onEvent({ type: "listening", url, users: tenant.kinde.userCount });
  return emulator;
}

// Listening everywhere is no address: what tokens name as issuer and audience must be one that clients can call.
function addressOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

function faceOf(tenant: Tenant, issuer: () => string, close: () => Promise<void>): Emulator {
  const { registry, deliveries, keys, tokens, faults } = tenant;
  return {
    get url() {
      return issuer();
    },
    get audience() {
      return `${issuer()}/api`;
    },
    clientId: tenant.clientId,
    clientSecret: tenant.clientSecret,
    kinde: tenant.kinde,
    webhooks: { register: registry.register, list: registry.list, remove: registry.remove },
    deliveries: {
      list: deliveries.list,
      pending: deliveries.pending,
      settled: deliveries.settled,
      redeliver: deliveries.redeliver,
      sign: keys.sign,
      ...tenant.userTokens,
    },
    keys: { rotate: keys.rotate, jwks: keys.jwks },
    scopes: { set: tokens.setScopes, list: tokens.scopes },
    faults: { set: faults.set, clear: faults.clear, list: faults.list },
    stats: tenant.stats,
    close,
  };
}

const apiDeps = (tenant: Tenant) => ({
  world: tenant.world,
  population: tenant.population,
  actions: tenant.apiActions,
  registry: tenant.registry,
  events: tenant.events,
  faults: tenant.faults,
  tornReads: createTornReads(tenant.world, tenant.faults),
});
