import { z } from "zod";
import { ok } from "../http/reply.ts";
import { missing } from "../kinde/world.ts";
import type { RoleState } from "../state/catalogue.ts";
import { pageOf, sorted, userPage } from "./paging.ts";
import { type ApiCall, type ApiDeps, type Route, rejectOversizedBulk } from "./route.ts";

/** Both are required for changes too. */
const creation = z.object({
  name: z.string().min(1),
  key: z.string().min(1),
  description: z.string().exactOptional(),
  is_default_role: z.boolean().exactOptional(),
});
const permissionChanges = z.object({
  permissions: z.array(z.object({ id: z.string().min(1), operation: z.string().exactOptional() })),
});

type RoleLookup = (call: ApiCall) => RoleState;

/** Routes for roles, their permissions and the users who hold them. */
export function roleRoutes(deps: ApiDeps): Route[] {
  const { roles } = deps.world.catalogue;
  const roleOf: RoleLookup = (call) => roles.get(call.param("role_id")) ?? missing("role", call.param("role_id"));
  return [...crudRoutes(deps, roleOf), ...permissionRoutes(deps, roleOf), usersRoute(deps, roleOf)];
}

const shape = ({ id, key, name, description, isDefaultRole }: RoleState) => ({
  id,
  key,
  name,
  description,
  is_default_role: isDefaultRole,
});

const detailsOf = ({ name, description, is_default_role }: Omit<z.infer<typeof creation>, "key">) => ({
  name,
  ...(description !== undefined && { description }),
  ...(is_default_role !== undefined && { isDefaultRole: is_default_role }),
});

function crudRoutes({ world, actions }: ApiDeps, roleOf: RoleLookup): Route[] {
  return [
    {
      method: "GET",
      path: "/roles",
      scope: "read:roles",
      handle: (call) => {
        const { items, next_token } = pageOf(
          call,
          sorted(call, [...world.catalogue.roles.values()], { name: ({ name }) => name, key: ({ key }) => key }),
          ({ id }) => id,
        );
        return ok({ roles: items.map(shape), next_token });
      },
    },
    {
      method: "GET",
      path: "/roles/{role_id}",
      scope: "read:roles",
      handle: (call) => ok({ role: shape(roleOf(call)) }),
    },
    {
      method: "POST",
      path: "/roles",
      scope: "create:roles",
      handle: async (call) => {
        const { key, ...details } = await call.body(creation);
        return ok({ role: { id: actions.createRole(key, [], detailsOf(details)).id } }, 201);
      },
    },
    {
      method: "PATCH",
      path: "/roles/{role_id}",
      scope: "update:roles",
      handle: async (call) => {
        const { key, ...details } = await call.body(creation);
        actions.updateRole(roleOf(call).key, { ...detailsOf(details), key });
        return ok({}, 201);
      },
    },
    {
      method: "DELETE",
      path: "/roles/{role_id}",
      scope: "delete:roles",
      handle: (call) => {
        actions.deleteRole(roleOf(call).key);
        return ok();
      },
    },
  ];
}

function permissionRoutes({ world, actions }: ApiDeps, roleOf: RoleLookup): Route[] {
  const { permissions } = world.catalogue;
  const save = (role: RoleState, ids: Iterable<string>) =>
    actions.updateRole(role.key, { permissions: [...ids].flatMap((id) => permissions.get(id)?.key ?? []) });
  return [
    {
      method: "GET",
      path: "/roles/{role_id}/permissions",
      scope: "read:role_permissions",
      handle: (call) => {
        const held = roleOf(call).permissionIds.flatMap((id) => permissions.get(id) ?? []);
        const { items, next_token } = pageOf(
          call,
          sorted(call, held, { name: ({ name }) => name, id: ({ id }) => id }),
          ({ id }) => id,
        );
        return ok({ permissions: items, next_token });
      },
    },
    {
      method: "PATCH",
      path: "/roles/{role_id}/permissions",
      scope: "update:role_permissions",
      handle: async (call) => {
        const body = await call.body(permissionChanges);
        rejectOversizedBulk(body.permissions.length);
        const role = roleOf(call);
        for (const { id } of body.permissions) if (!permissions.has(id)) missing("permission", id);
        const removed = body.permissions.filter(({ operation }) => operation === "delete").map(({ id }) => id);
        const added = body.permissions.filter(({ operation }) => operation !== "delete").map(({ id }) => id);
        save(role, new Set([...role.permissionIds, ...added].filter((id) => !removed.includes(id))));
        return ok({ permissions_added: added, permissions_removed: removed });
      },
    },
    {
      method: "DELETE",
      path: "/roles/{role_id}/permissions/{permission_id}",
      scope: "delete:role_permissions",
      handle: (call) => {
        const role = roleOf(call);
        save(
          role,
          role.permissionIds.filter((id) => id !== call.param("permission_id")),
        );
        return ok();
      },
    },
  ];
}

function usersRoute({ world, population }: ApiDeps, roleOf: RoleLookup): Route {
  return {
    method: "GET",
    path: "/roles/{role_id}/users",
    scope: "read:organization_user_roles",
    handle: async (call) => {
      const { id } = roleOf(call);
      const holds = (one: { code: string; roleIds: readonly string[] }) =>
        one.roleIds.includes(id) && world.catalogue.organizations.has(one.code);
      const mayMatch = (index: number) => population.membershipsAt(index).some(holds);
      const walk = (after: string | undefined) => world.users.walk({ after, mayMatch });
      const { items, next_token } = await userPage(call, walk, (user) => user.memberships.some(holds));
      const users = items.map((user) => ({
        id: user.id,
        org_codes: user.memberships.filter(holds).map(({ code }) => code),
      }));
      return ok({ users, next_token });
    },
  };
}
