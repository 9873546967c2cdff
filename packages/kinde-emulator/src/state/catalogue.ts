import type { Org, Permission, PropertyDefinition } from "../truth-types.ts";
import type { RoleState } from "./role-state.ts";
import { seedOrganizations, seedPermissions, seedProperties, seedRoles } from "./seed-catalogue.ts";

/** Everything a tenant has besides users. */
export interface Catalogue {
  organizations: Map<string, Org>;
  /** By id. */
  roles: Map<string, RoleState>;
  /** By id. */
  permissions: Map<string, Permission>;
  /** By key. */
  properties: Map<string, PropertyDefinition>;
}

/** A tenant without users begins without organizations, roles and permissions; the usual properties are always there. */
export function createCatalogue(users: number, seed: number): Catalogue {
  const seeded = users > 0;
  return {
    organizations: new Map(seeded ? seedOrganizations(users, seed).map((org) => [org.code, org]) : []),
    roles: new Map(seeded ? seedRoles().map((role) => [role.id, role]) : []),
    permissions: new Map(seeded ? seedPermissions().map((permission) => [permission.id, permission]) : []),
    properties: new Map(seedProperties().map((property) => [property.key, property])),
  };
}

/** First value of `map` that passes. */
export function find<T>(map: Map<string, T>, passes: (value: T) => boolean): T | undefined {
  for (const value of map.values()) if (passes(value)) return value;
  return undefined;
}
