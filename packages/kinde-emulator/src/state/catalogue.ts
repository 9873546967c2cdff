import type {
  FeatureFlag,
  FeatureFlagValue,
  Invitation,
  Org,
  Permission,
  PropertyCategory,
  PropertyDefinition,
  Role,
} from "../truth-types.ts";
import { mix } from "./random.ts";

/** A role as stored. It references permissions by id, so renaming a key changes no role. */
export interface RoleState extends Omit<Role, "permissions"> {
  permissionIds: string[];
}

/** An invitation as stored. It references roles by id. */
export interface InvitationState extends Omit<Invitation, "roles"> {
  roleIds: string[];
}

/** How long sign-ins to an organization last, where it differs from the environment. */
export interface SessionPolicy {
  /** Whether `isPersistent` applies. */
  usesPersistence?: boolean;
  /** Whether sessions outlive the browser. */
  isPersistent?: boolean;
  /** Whether `lifetimeSeconds` applies. */
  usesLifetime?: boolean;
  lifetimeSeconds?: number;
}

/** An organization's own property values, billing agreements and session policy. */
export interface OrganizationDetails {
  properties: Record<string, string>;
  agreements: { id: string; planCode: string }[];
  sessionPolicy: SessionPolicy;
}

/** A feature flag with its values for the environment and for organizations. */
export interface FeatureFlagState extends FeatureFlag {
  readonly environmentValue: FeatureFlagValue | undefined;
  /** By organization code. */
  readonly organizationValues: ReadonlyMap<string, FeatureFlagValue>;
}

/** The tenant's organizations, invitations, roles, permissions, property definitions and feature flags. */
export interface Catalogue {
  /** By code. */
  organizations: Map<string, Org>;
  /** By id. */
  roles: Map<string, RoleState>;
  /** By id. */
  permissions: Map<string, Permission>;
  /** By key. */
  properties: Map<string, PropertyDefinition>;
  /** By organization code; absent for organizations without any. */
  organizationDetails: Map<string, OrganizationDetails>;
  /** By key. */
  featureFlags: Map<string, FeatureFlagState>;
  /** By id. */
  propertyCategories: Map<string, PropertyCategory>;
  /** By code. */
  invitations: Map<string, InvitationState>;
}

/** Creates the seeded catalogue. A tenant without users has property definitions only. */
export function createCatalogue(users: number, seed: number): Catalogue {
  const seeded = users > 0;
  return {
    organizations: new Map(seeded ? seedOrganizations(users, seed).map((org) => [org.code, org]) : []),
    roles: new Map(seeded ? seedRoles().map((role) => [role.id, role]) : []),
    permissions: new Map(seeded ? seedPermissions().map((permission) => [permission.id, permission]) : []),
    properties: new Map(seedProperties().map((property) => [property.key, property])),
    organizationDetails: new Map(),
    featureFlags: new Map(),
    propertyCategories: new Map([[GENERAL.id, GENERAL]]),
    invitations: new Map(),
  };
}

/** Returns the first value of `map` that satisfies `matches`. */
export function find<T>(map: Map<string, T>, matches: (value: T) => boolean): T | undefined {
  for (const value of map.values()) if (matches(value)) return value;
  return undefined;
}

const uuid = (kind: number, index: number) =>
  `0192990${kind}-316d-bb2c-069f-${(0x99dfea4a0000 + index).toString(16).padStart(12, "0")}`;

const PERMISSIONS = [
  ["admin:access", "Admin access"],
  ["reports:read", "Read reports"],
  ["reports:write", "Write reports"],
  ["reports:export", "Export reports"],
  ["billing:manage", "Manage billing"],
] as const;

/** Most common first: the population picks roles by position. */
const ROLES = [
  ["member", "Member", ["reports:read"]],
  ["editor", "Editor", ["reports:read", "reports:write"]],
  ["admin", "Admin", ["admin:access", "reports:read", "reports:write", "billing:manage"]],
] as const;

export const seedPermissions = (): Permission[] =>
  PERMISSIONS.map(([key, name], index) => ({ id: uuid(1, index), key, name, description: name }));

export const seedRoles = (): RoleState[] => {
  const idOf = new Map<string, string>(seedPermissions().map(({ key, id }) => [key, id]));
  return ROLES.map(([key, name, permissions], index) => ({
    id: uuid(2, index),
    key,
    name,
    description: name,
    isDefaultRole: index === 0,
    permissionIds: permissions.flatMap((permission) => idOf.get(permission) ?? []),
  }));
};

const ORG_NAMES = (
  "Aurora Beacon Cedar Cobalt Compass Delta Ember Falcon Fern Granite Harbor Helix Indigo Juniper Keystone Lantern " +
  "Maple Meridian Nimbus Northwind Oak Onyx Orbit Pine Prism Quartz Ridge River Sable Summit Tidal Vertex Willow Zephyr"
).split(" ");

const ORG_KINDS = "Labs Works Health Foods Energy Media Logistics Studio Bank Robotics".split(" ");

export const seedOrganizations = (users: number, seed: number): Org[] =>
  Array.from({ length: Math.min(2000, Math.max(3, Math.ceil(users / 50))) }, (_, index) => {
    const hash = mix(index ^ mix(seed + 77));
    const name = `${ORG_NAMES[hash % ORG_NAMES.length]} ${ORG_KINDS[(hash >>> 8) % ORG_KINDS.length]} ${index + 1}`;
    return {
      code: `org_${hash.toString(16).padStart(8, "0").slice(0, 7)}${index.toString(16).padStart(4, "0")}`,
      name,
      handle: name.toLowerCase().replaceAll(" ", "-"),
      externalId: null,
      isDefault: index === 0,
      isAllowRegistrations: index % 3 === 0,
      isAutoMembershipEnabled: false,
      isSuspended: false,
      suspendedOn: null,
      createdOn: "2023-01-02T03:04:05.000000+00:00",
    };
  });

const GENERAL: PropertyCategory = {
  id: "category_0195ac80a14e8d71f42b98e75d3c0001",
  name: "General",
  context: "usr",
};

const property = (index: number, key: string, name: string, isKindeProperty = false): PropertyDefinition => ({
  id: `prop_0195ac80a14e8d71f42b98e75d3c${index.toString(16).padStart(4, "0")}`,
  key,
  name,
  description: name,
  isPrivate: false,
  isKindeProperty,
  context: "usr",
  categoryId: GENERAL.id,
});

const seedProperties = (): PropertyDefinition[] => [
  property(1, "onboarded", "Onboarded"),
  property(2, "plan_tier", "Plan tier"),
  property(3, "compliance_region", "Compliance region"),
  property(4, "kp_usr_job_title", "Job title", true),
  property(5, "kp_usr_city", "City", true),
];
