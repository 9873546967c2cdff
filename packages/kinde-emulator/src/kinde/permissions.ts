import type { EventSource, KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import { find } from "../state/catalogue.ts";
import { newId } from "../state/random.ts";
import { permissionPayload } from "./payloads.ts";
import { permissionByKey, type World } from "./world.ts";

type PermissionActions = Pick<
  KindeActions,
  "permissions" | "createPermission" | "updatePermission" | "deletePermission"
>;

/** Permissions. A change fires one `permission.*` event, and nothing for the users who hold the permission. */
export function createPermissionActions(world: World, source: EventSource): PermissionActions {
  const { permissions } = world.catalogue;
  return {
    permissions: () => [...permissions.values()],
    createPermission: (key, name = key, description = "") => {
      if (find(permissions, (permission) => permission.key === key))
        throw new EmulatorError("permission_already_exists", `Permission "${key}" already exists.`);
      const permission = { id: newId.permission(), key, name, description };
      permissions.set(permission.id, permission);
      world.fire("permission.created", permissionPayload(permission), source);
      return permission;
    },
    updatePermission: (key, changes) => {
      const permission = { ...permissionByKey(world, key), ...changes };
      permissions.set(permission.id, permission);
      world.fire("permission.updated", permissionPayload(permission), source);
    },
    deletePermission: (key) => {
      const { id } = permissionByKey(world, key);
      permissions.delete(id);
      world.fire("permission.deleted", { permission: { id } }, source);
    },
  };
}
