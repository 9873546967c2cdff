import { z } from "zod";
import { ok } from "../http/reply.ts";
import { setSessionPolicy } from "../kinde/organization-details.ts";
import { organizationOf, userOf } from "../kinde/world.ts";
import type { ApiDeps, Route } from "./route.ts";

const policy = z.object({
  is_use_org_sso_session_policy: z.boolean().exactOptional(),
  sso_session_persistence_mode: z.enum(["persistent", "non_persistent"]).exactOptional(),
  is_use_org_authenticated_session_lifetime: z.boolean().exactOptional(),
  authenticated_session_lifetime: z.number().int().positive().exactOptional(),
});

/** Routes for the sessions that sign-ins started. */
export function sessionRoutes({ world, grants }: ApiDeps): Route[] {
  const iso = (seconds: number) => new Date(seconds * 1000).toISOString();
  return [
    {
      method: "GET",
      path: "/users/{user_id}/sessions",
      scope: "read:user_sessions",
      handle: (call) => {
        const sessions = grants.sessionsOf(userOf(world, call.param("user_id")).id);
        return ok({
          has_more: false,
          sessions: sessions.map(
            ({ publicId, userId, orgCode, clientId, authTime, expires, updated, first, last }) => ({
              user_id: userId,
              org_code: orgCode ?? null,
              client_id: clientId,
              expires_on: iso(expires),
              session_id: publicId,
              started_on: iso(authTime),
              updated_on: iso(updated),
              last_ip_address: last.address,
              last_user_agent: last.userAgent,
              initial_ip_address: first.address,
              initial_user_agent: first.userAgent,
            }),
          ),
        });
      },
    },
    {
      method: "DELETE",
      path: "/users/{user_id}/sessions",
      scope: "delete:user_sessions",
      handle: (call) => {
        for (const { id } of grants.sessionsOf(userOf(world, call.param("user_id")).id)) grants.endSession(id);
        return ok();
      },
    },
    {
      method: "PATCH",
      path: "/organizations/{org_code}/sessions",
      scope: "update:organizations",
      handle: async (call) => {
        const { code } = organizationOf(world, call.param("org_code"));
        const body = await call.body(policy);
        setSessionPolicy(world, code, {
          ...(body.is_use_org_sso_session_policy !== undefined && {
            usesPersistence: body.is_use_org_sso_session_policy,
          }),
          ...(body.sso_session_persistence_mode !== undefined && {
            isPersistent: body.sso_session_persistence_mode === "persistent",
          }),
          ...(body.is_use_org_authenticated_session_lifetime !== undefined && {
            usesLifetime: body.is_use_org_authenticated_session_lifetime,
          }),
          ...(body.authenticated_session_lifetime !== undefined && {
            lifetimeSeconds: body.authenticated_session_lifetime,
          }),
        });
        return ok();
      },
    },
  ];
}
