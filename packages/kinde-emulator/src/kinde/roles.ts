import type { EventSource, KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import { find } from "../state/catalogue.ts";
import { newId } from "../state/random.ts";
import { rolePayload } from "./payloads.ts";
import { toRole } from "./truth.ts";
import { permissionByKey, roleByKey, type World } from "./world.ts";

type RoleActions = Pick<KindeActions, "roles" | "createRole" | "updateRole" | "deleteRole">;

/** Roles. A change fires one `role.*` event, and nothing for the users who hold the role. */
export function createRoleActions(
  world: World,
  source: EventSource,
  createPermission: KindeActions["createPermission"],
): RoleActions {
  const { roles, permissions } = world.catalogue;
  return {
    roles: () => [...roles.values()].map((role) => toRole(world.catalogue, role)),
    createRole: (key, permissionKeys = [], details = {}) => {
      if (find(roles, (role) => role.key === key))
        throw new EmulatorError("role_already_exists", `Role "${key}" already exists.`);
      const permissionIds = permissionKeys.map(
        (name) => (find(permissions, (permission) => permission.key === name) ?? createPermission(name)).id,
      );
      const role = {
        id: newId.role(),
        key,
        name: key,
        description: "",
        isDefaultRole: false,
        permissionIds,
        ...details,
      };
      roles.set(role.id, role);
      world.fire("role.created", rolePayload(role), source);
      return toRole(world.catalogue, role);
    },
    updateRole: (key, { permissions: keys, ...changes }) => {
      const before = roleByKey(world, key);
      const permissionIds = keys?.map((name) => permissionByKey(world, name).id) ?? before.permissionIds;
      const role = { ...before, ...changes, permissionIds };
      roles.set(role.id, role);
      world.fire("role.updated", rolePayload(role), source);
    },
    deleteRole: (key) => {
      const { id } = roleByKey(world, key);
      roles.delete(id);
      world.fire("role.deleted", { role: { id } }, source);
    },
  };
}
