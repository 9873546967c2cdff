import type { Role } from "../truth-types.ts";

/** A role as held inside; permissions by id. */
export interface RoleState extends Omit<Role, "permissions"> {
  permissionIds: string[];
}
