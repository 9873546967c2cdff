import type { EventSource } from "../action-types.ts";
import { EmulatorError, type Entity } from "../emulator-error.ts";
import type { RoleState } from "../state/catalogue.ts";
import { type Catalogue, find } from "../state/catalogue.ts";
import type { IdentityIds } from "../state/identity-ids.ts";
import type { UserState } from "../state/user-state.ts";
import type { Users } from "../state/users.ts";
import type { Org, Permission } from "../truth-types.ts";

/** The tenant's state, its clock, and `fire` for events: everything actions need. */
export interface World {
  readonly users: Users;
  readonly catalogue: Catalogue;
  readonly identityIds: IdentityIds;
  /** Returns the current time as ISO 8601. */
  timestamp(): string;
  /** Fires an event and returns its id. */
  fire(type: string, data: Record<string, unknown>, source: EventSource): string;
}

/** @throws EmulatorError `unknown_user` */
export function userOf(world: World, id: string): UserState {
  return world.users.get(id) ?? missing("user", id);
}

export function organizationOf(world: World, code: string): Org {
  return world.catalogue.organizations.get(code) ?? missing("organization", code);
}

export function roleByKey(world: World, key: string): RoleState {
  return find(world.catalogue.roles, (role) => role.key === key) ?? missing("role", key);
}

export function permissionByKey(world: World, key: string): Permission {
  return find(world.catalogue.permissions, (permission) => permission.key === key) ?? missing("permission", key);
}

/** @throws EmulatorError `unknown_<entity>`, answered with 404 over HTTP */
export function missing(entity: Entity, name: string): never {
  throw new EmulatorError(`unknown_${entity}`, `Unknown ${entity}: "${name}".`);
}
