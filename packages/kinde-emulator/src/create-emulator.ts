import { setMaxListeners } from "node:events";
import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { mountAccountApi } from "./account/routes.ts";
import { managementRoutes, mountManagementApi } from "./api/management-api.ts";
import { createTornReads } from "./api/torn-reads.ts";
import { mountAuth } from "./auth/routes.ts";
import { ACCESS_TOKEN_SECONDS } from "./auth/user-tokens.ts";
import { mountControl } from "./control/routes.ts";
import { EmulatorError } from "./emulator-error.ts";
import { refuseForeignHosts } from "./http/browser-guard.ts";
import { listen } from "./http/listen.ts";
import { createPipeline } from "./http/pipeline.ts";
import { failure } from "./http/reply.ts";
import { send } from "./http/wire.ts";
import { mountSignIn } from "./sign-in/routes.ts";
import { createTenant, type Tenant } from "./tenant.ts";
import type { Emulator, EmulatorOptions } from "./types.ts";

const MAX_BODY_BYTES = 2 ** 20;

/**
 * Starts an emulator of Kinde: sign-in, tokens, Management API, webhooks and faults.
 *
 * Call {@link Emulator.close} when the test ends. Rejects with Node's error, such as `EADDRINUSE`, if it cannot listen on
 * the address, and with the error of `node:crypto` if `signingKey` is not a private RSA key.
 *
 * @example
 * const emulator = await createEmulator({ users: 100, retryTimeScale: 0.001 });
 * emulator.webhooks.register({ url: "http://localhost:3000/webhooks/kinde" });
 *
 * const user = emulator.kinde.createUser({ email: "ada@example.com" });
 * const token = await emulator.deliveries.accessToken(user.id);
 *
 * emulator.faults.set({ kind: "error", status: 503, path: "/api/v1/user", count: 2 });
 *
 * await emulator.deliveries.settled();
 * await emulator.close();
 */
export async function createEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { host = "127.0.0.1", port = 0, allowedHosts = [], allowProduction = false } = options;
  if (process.env.NODE_ENV === "production" && !allowProduction) {
    throw new EmulatorError(
      "production_refused",
      "The emulator signs in anybody as anybody: it does not start with NODE_ENV=production unless allowProduction is set.",
    );
  }
  const closing = new AbortController();
  // Every delayed call listens to this signal, so a high listener count is not a leak.
  setMaxListeners(0, closing.signal);
  let url = "";
  const issuer = () => url;
  const tenant = await createTenant(options, issuer);
  const { tokens, faults, deliveries, counter, onEvent } = tenant;

  const app = new Hono<{ Bindings: HttpBindings }>();
  app.use(refuseForeignHosts({ host, allowedHosts }));
  app.use(
    bodyLimit({ maxSize: MAX_BODY_BYTES, onError: () => send(failure(413, "BODY_TOO_LARGE", "At most 1 MiB.")) }),
  );
  const pipeline = createPipeline({ faults, counter, onEvent, closing: closing.signal });
  mountAuth(app, pipeline, tenant);
  mountSignIn(app, pipeline, tenant);
  mountAccountApi(app, pipeline, tenant);
  mountManagementApi(app, pipeline, tokens, routesOf(tenant));

  const emulator = toEmulator(tenant, issuer, async () => {
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

// Clients cannot call a wildcard address, and tokens name this URL as issuer and audience.
function addressOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

function toEmulator(tenant: Tenant, issuer: () => string, close: () => Promise<void>): Emulator {
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
    applications: { create: tenant.applications.create, list: tenant.applications.list },
    signInAs: tenant.signInAs,
    webhooks: {
      register: registry.register,
      list: registry.list,
      enable: registry.enable,
      remove: registry.remove,
    },
    deliveries: {
      list: deliveries.list,
      pending: deliveries.pending,
      settled: deliveries.settled,
      redeliver: deliveries.redeliver,
      sign: keys.sign,
      ...signedInTokens(tenant),
    },
    keys: { rotate: keys.rotate, jwks: keys.jwks },
    scopes: { set: tokens.setScopes, list: tokens.scopes },
    faults: { set: faults.set, clear: faults.clear, list: faults.list },
    stats: tenant.stats,
    close,
  };
}

/** Tokens of users who did not sign in over HTTP. */
function signedInTokens({ userTokens, applications }: Tenant): Pick<Emulator["deliveries"], "accessToken" | "idToken"> {
  const firstClient = () => applications.list()[0]?.clientId ?? "";
  return {
    accessToken: async (userId, { orgCode, clientId = firstClient() } = {}) =>
      (await userTokens.access({ userId, orgCode, clientId })).token,
    idToken: async (userId, { clientId = firstClient() } = {}) => {
      const { token, expires } = await userTokens.access({ userId, clientId });
      const authTime = expires - ACCESS_TOKEN_SECONDS;
      return userTokens.id({ profile: userTokens.profile(userId), clientId, accessToken: token, authTime });
    },
  };
}

/** @internal Returns every route of the Management API. */
export const routesOf = (tenant: Tenant) => managementRoutes(apiDeps(tenant));

const apiDeps = (tenant: Tenant) => ({
  world: tenant.world,
  population: tenant.population,
  actions: tenant.apiActions,
  grants: tenant.grants,
  issuer: tenant.issuer,
  registry: tenant.registry,
  events: tenant.events,
  faults: tenant.faults,
  tornReads: createTornReads(tenant.world, tenant.faults),
});
