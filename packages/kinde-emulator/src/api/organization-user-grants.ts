import { z } from "zod";
import { ok } from "../http/reply.ts";
import { permissionsOf, rolesOf } from "../kinde/truth.ts";
import { missing, organizationOf, userOf } from "../kinde/world.ts";
import type { Membership } from "../state/user-state.ts";
import type { ApiCall, ApiDeps, Route } from "./route.ts";

const roleBody = z.object({ role_id: z.string().min(1) });
const permissionBody = z.object({ permission_id: z.string().min(1) });
const BASE = "/organizations/{org_code}/users/{user_id}";

/** Routes for the roles and permissions of one user in one organization. */
export function organizationUserGrantRoutes(deps: ApiDeps): Route[] {
  return [...roleRoutes(deps), ...permissionRoutes(deps)];
}

function membershipOf({ world }: ApiDeps, call: ApiCall): Membership {
  const { code } = organizationOf(world, call.param("org_code"));
  const user = userOf(world, call.param("user_id"));
  return user.memberships.find((one) => one.code === code) ?? missing("member", `${user.id} of ${code}`);
}

function roleRoutes(deps: ApiDeps): Route[] {
  const { world, actions } = deps;
  const held = (call: ApiCall) => rolesOf(world.catalogue, membershipOf(deps, call)).map(({ key }) => key);
  const keyOf = (id: string) => world.catalogue.roles.get(id)?.key ?? missing("role", id);
  const save = (call: ApiCall, keys: string[]) => actions.setRoles(call.param("user_id"), call.param("org_code"), keys);
  return [
    {
      method: "GET",
      path: `${BASE}/roles`,
      scope: "read:organization_user_roles",
      handle: (call) => {
        const roles = rolesOf(world.catalogue, membershipOf(deps, call));
        return ok({ roles: roles.map(({ id, key, name }) => ({ id, key, name })), next_token: null });
      },
    },
    {
      method: "POST",
      path: `${BASE}/roles`,
      scope: "create:organization_user_roles",
      handle: async (call) => {
        const key = keyOf((await call.body(roleBody)).role_id);
        save(call, [...held(call), key]);
        return ok();
      },
    },
    {
      method: "DELETE",
      path: `${BASE}/roles/{role_id}`,
      scope: "delete:organization_user_roles",
      handle: (call) => {
        const removed = keyOf(call.param("role_id"));
        save(
          call,
          held(call).filter((key) => key !== removed),
        );
        return ok();
      },
    },
  ];
}

function permissionRoutes(deps: ApiDeps): Route[] {
  const { world, actions } = deps;
  const keyOf = (id: string) => world.catalogue.permissions.get(id)?.key ?? missing("permission", id);
  const direct = (call: ApiCall) =>
    membershipOf(deps, call).permissionIds.flatMap((id) => world.catalogue.permissions.get(id)?.key ?? []);
  const save = (call: ApiCall, keys: string[]) =>
    actions.setPermissions(call.param("user_id"), call.param("org_code"), keys);
  return [
    {
      method: "GET",
      path: `${BASE}/permissions`,
      scope: "read:organization_user_permissions",
      handle: (call) => {
        const membership = membershipOf(deps, call);
        const roles = rolesOf(world.catalogue, membership);
        const permissions = permissionsOf(world.catalogue, membership).map(({ id, key, name, description }) => {
          const granting = roles.filter((role) => role.permissionIds.includes(id));
          return { id, key, name, description, roles: granting.map((role) => ({ id: role.id, key: role.key })) };
        });
        return ok({ permissions });
      },
    },
    {
      method: "POST",
      path: `${BASE}/permissions`,
      scope: "create:organization_user_permissions",
      handle: async (call) => {
        const key = keyOf((await call.body(permissionBody)).permission_id);
        save(call, [...direct(call), key]);
        return ok();
      },
    },
    {
      method: "DELETE",
      path: `${BASE}/permissions/{permission_id}`,
      scope: "delete:organization_user_permissions",
      handle: (call) => {
        const removed = keyOf(call.param("permission_id"));
        save(
          call,
          direct(call).filter((key) => key !== removed),
        );
        return ok();
      },
    },
  ];
}
