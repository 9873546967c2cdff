import { EmulatorError } from "../emulator-error.ts";
import { type Catalogue, find } from "../state/catalogue.ts";
import type { RoleState } from "../state/role-state.ts";
import type { UserState } from "../state/user-state.ts";
import type { Users } from "../state/users.ts";
import type { Org, Permission } from "../truth-types.ts";
import type { EventSource } from "../types.ts";

/** What every action works on: the state, the clock, and the way out for events. */
export interface World {
  readonly users: Users;
  readonly catalogue: Catalogue;
  /** Wall clock as ISO 8601. */
  timestamp(): string;
  /** Fires an event; answers its id. */
  fire(type: string, data: Record<string, unknown>, source: EventSource): string;
}

/** The user, or an error that names what is missing. */
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

/** `unknown_<what>`: answered 404 over HTTP. */
export function missing(what: string, name: string): never {
  throw new EmulatorError(`unknown_${what}`, `There is no ${what} "${name}" in the emulated Kinde.`);
}
