import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import type { Bearer, BearerUser } from "../auth/bearer.ts";
import type { createPipeline } from "../http/pipeline.ts";
import { BadRequest, failure, json, type Reply } from "../http/reply.ts";
import { featureFlagsFor } from "../kinde/feature-flags.ts";
import {
  agreementsInEffect,
  entitlementsOf,
  membershipsOf,
  permissionsOf,
  rolesOf,
  toAgreement,
} from "../kinde/truth.ts";
import { missing, type World } from "../kinde/world.ts";

const BASE = "/account_api/v1";
const PAGE_SIZE = 10;
const MAX_PAGE_SIZE = 500;

export interface AccountRouteDeps {
  world: World;
  bearer: Bearer;
  issuer: () => string;
}

type Query = (name: string) => string | undefined;

/** Mounts the Account API, which users' own access tokens call. It shows current state, not the token's. */
export function mountAccountApi(
  app: Hono<{ Bindings: HttpBindings }>,
  pipeline: ReturnType<typeof createPipeline>,
  { world, bearer, issuer }: AccountRouteDeps,
): void {
  const on = (path: string, handle: (caller: BearerUser, query: Query, key: string) => Reply) => {
    const route = BASE + path;
    const handler = pipeline({
      method: "GET",
      route,
      handle: async (context) => {
        const caller = await bearer.userOf(context.req.header("authorization"));
        if (!caller) return failure(401, "TOKEN_INVALID", "The access token is missing, expired or invalid.");
        return handle(caller, (name) => context.req.query(name) || undefined, context.req.param("key") ?? "");
      },
    });
    app.get(route.replace("{key}", ":key"), handler);
  };
  const membershipOf = ({ user, orgCode }: BearerUser) =>
    membershipsOf(world.catalogue, user).find(({ code }) => code === orgCode);
  const permissions = (caller: BearerUser) => {
    const membership = membershipOf(caller);
    return membership ? permissionsOf(world.catalogue, membership) : [];
  };
  const entitlements = ({ user }: BearerUser) =>
    agreementsInEffect(user)
      .map(toAgreement)
      .flatMap(entitlementsOf)
      .map(({ feature_code, ...entitlement }) => ({ ...entitlement, feature_key: feature_code }));

  on("/portal_link", (_caller, query) => {
    const url = new URL("/portal", issuer());
    for (const name of ["subnav", "return_url"]) url.searchParams.set(name, query(name) ?? "");
    return json({ url: url.href });
  });
  on("/permissions", (caller, query) => {
    const { items, metadata } = pageOf(query, permissions(caller));
    const shown = items.map(({ id, key, name }) => ({ id, key, name }));
    return json({ data: { org_code: caller.orgCode ?? null, permissions: shown }, metadata });
  });
  on("/permission/{key}", (caller, _query, key) =>
    json({
      permissionKey: key,
      orgCode: caller.orgCode ?? null,
      isGranted: permissions(caller).some((permission) => permission.key === key),
    }),
  );
  on("/roles", (caller, query) => {
    const membership = membershipOf(caller);
    const { items, metadata } = pageOf(query, membership ? rolesOf(world.catalogue, membership) : []);
    const roles = items.map(({ id, key, name }) => ({ id, key, name }));
    return json({ data: { org_code: caller.orgCode ?? null, roles }, metadata });
  });
  on("/feature_flags", (caller, query) => {
    const flags = featureFlagsFor(world, caller.user, caller.orgCode);
    const { items, metadata } = pageOf(
      query,
      flags.map(({ flag: { id, name, key, type }, value }) => ({ id, name, key, type: TYPE_NAMES[type], value })),
    );
    return json({ data: { feature_flags: items }, metadata });
  });
  on("/entitlements", (caller, query) => {
    const { items, metadata } = pageOf(query, entitlements(caller));
    const plans = agreementsInEffect(caller.user).map(({ planCode, startedOn }) => ({
      key: planCode,
      subscribed_on: startedOn,
    }));
    return json({ data: { org_code: caller.orgCode ?? null, plans, entitlements: items }, metadata });
  });
  on("/entitlement/{key}", (caller, _query, key) => {
    const entitlement = entitlements(caller).find(({ feature_key }) => feature_key === key);
    if (!entitlement) return missing("entitlement", key);
    return json({ data: { org_code: caller.orgCode ?? null, entitlement }, metadata: NO_MORE });
  });
}

const TYPE_NAMES = { str: "string", int: "integer", bool: "boolean" } as const;
const NO_MORE = { has_more: false, next_page_starting_after: "" };

/** Returns a page of a list whose cursor is the id of the previous page's last item. */
function pageOf<T extends { id: string }>(query: Query, list: readonly T[]) {
  const size = Number(query("page_size") ?? PAGE_SIZE);
  if (!Number.isInteger(size) || size < 1 || size > MAX_PAGE_SIZE)
    throw new BadRequest(`page_size must be a whole number from 1 to ${MAX_PAGE_SIZE}.`, "invalid_page_size");
  const after = query("starting_after");
  const start = after === undefined ? 0 : list.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw new BadRequest("starting_after is unknown.", "invalid_cursor");
  const items = list.slice(start, start + size);
  const more = start + size < list.length;
  return { items, metadata: more ? { has_more: true, next_page_starting_after: items.at(-1)?.id ?? "" } : NO_MORE };
}
