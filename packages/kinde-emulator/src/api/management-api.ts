import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import type { Tokens } from "../auth/tokens.ts";
import type { createPipeline, EmulatorContext } from "../http/pipeline.ts";
import { failure, type Reply } from "../http/reply.ts";
import { billingRoutes } from "./billing.ts";
import { featureFlagRoutes } from "./feature-flags.ts";
import { identityRoutes } from "./identities.ts";
import { invitationRoutes } from "./invitations.ts";
import { organizationPropertyRoutes } from "./organization-properties.ts";
import { organizationUserGrantRoutes } from "./organization-user-grants.ts";
import { organizationUserRoutes } from "./organization-users.ts";
import { organizationRoutes } from "./organizations.ts";
import { permissionRoutes } from "./permissions.ts";
import { propertyRoutes } from "./properties.ts";
import { propertyCategoryRoutes } from "./property-categories.ts";
import { roleRoutes } from "./roles.ts";
import { type ApiDeps, type Route, toCall } from "./route.ts";
import { searchRoutes } from "./search.ts";
import { sessionRoutes } from "./sessions.ts";
import { userListRoutes } from "./user-lists.ts";
import { userRoutes } from "./users.ts";
import { webhookRoutes } from "./webhooks.ts";

const BASE = "/api/v1";

/** All routes of the Management API. */
export const managementRoutes = (deps: ApiDeps): Route[] => [
  ...userRoutes(deps),
  ...userListRoutes(deps),
  ...identityRoutes(deps),
  ...sessionRoutes(deps),
  ...searchRoutes(deps),
  ...propertyRoutes(deps),
  ...propertyCategoryRoutes(deps),
  ...featureFlagRoutes(deps),
  ...organizationRoutes(deps),
  ...invitationRoutes(deps),
  ...organizationPropertyRoutes(deps),
  ...organizationUserRoutes(deps),
  ...organizationUserGrantRoutes(deps),
  ...roleRoutes(deps),
  ...permissionRoutes(deps),
  ...billingRoutes(deps),
  ...webhookRoutes(deps),
];

/** Mounts the Management API. Limits and faults apply before the bearer token is checked. */
export function mountManagementApi(
  app: Hono<{ Bindings: HttpBindings }>,
  pipeline: ReturnType<typeof createPipeline>,
  tokens: Tokens,
  routes: readonly Route[],
): void {
  for (const { method, path, scope, handle } of routes) {
    const route = BASE + path;
    const guarded = pipeline({
      method,
      route,
      handle: async (context, target) => (await refusalOf(tokens, context, scope)) ?? handle(toCall(context, target)),
    });
    app.on(method, route.replaceAll(/\{(\w+)\}/g, ":$1"), guarded);
  }
  const notFound = failure(404, "ROUTE_NOT_FOUND", "The emulator does not implement this route.");
  app.all(`${BASE}/*`, pipeline({ method: "ANY", route: `${BASE}/?`, handle: () => notFound }));
}

async function refusalOf(tokens: Tokens, context: EmulatorContext, scope: string): Promise<Reply | undefined> {
  const bearer = /^Bearer (.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
  const scopes = bearer === undefined ? undefined : await tokens.check(bearer);
  if (!scopes) return failure(401, "TOKEN_INVALID", "The access token is missing, expired or invalid.");
  if (!scopes.has(scope)) return failure(403, "INSUFFICIENT_SCOPE", `This call requires the scope ${scope}.`);
  return undefined;
}
