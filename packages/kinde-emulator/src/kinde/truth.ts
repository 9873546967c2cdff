import type { Catalogue, RoleState } from "../state/catalogue.ts";
import type { Agreement, Membership, UserState } from "../state/user-state.ts";
import type { Permission, Role, TruthAgreement, TruthMembership, TruthUser } from "../truth-types.ts";

/** Returns the roles of a membership that still exist. */
export const rolesOf = (catalogue: Catalogue, membership: Membership): RoleState[] =>
  membership.roleIds.flatMap((id) => catalogue.roles.get(id) ?? []);

/** Returns the effective permissions, direct or through a role, sorted by key. */
export function permissionsOf(catalogue: Catalogue, membership: Membership): Permission[] {
  const ids = new Set([
    ...membership.permissionIds,
    ...rolesOf(catalogue, membership).flatMap((role) => role.permissionIds),
  ]);
  return [...ids]
    .flatMap((id) => catalogue.permissions.get(id) ?? [])
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** Returns memberships in organizations that still exist. */
export const membershipsOf = (catalogue: Catalogue, user: UserState): Membership[] =>
  user.memberships.filter(({ code }) => catalogue.organizations.has(code));

/** Returns the values of properties that are still defined. Copies only if one is not: a search runs it for every user. */
export function definedProperties({ properties }: Catalogue, user: UserState): UserState["properties"] {
  for (const key in user.properties)
    if (!properties.has(key))
      return Object.fromEntries(Object.entries(user.properties).filter(([name]) => properties.has(name)));
  return user.properties;
}

/** Returns the codes of the user's organizations that still exist. A plain loop: a search runs it for every user. */
export function organizationCodes({ organizations }: Catalogue, { memberships }: UserState): string[] {
  const codes: string[] = [];
  for (const { code } of memberships) if (organizations.has(code)) codes.push(code);
  return codes;
}

export const fullName = ({ firstName, lastName }: UserState): string => [firstName, lastName].filter(Boolean).join(" ");

export const toRole = (catalogue: Catalogue, { permissionIds, ...role }: RoleState): Role => ({
  ...role,
  permissions: permissionIds.flatMap((id) => catalogue.permissions.get(id)?.key ?? []),
});

export function toTruth(catalogue: Catalogue, user: UserState): TruthUser {
  const { memberships: _, featureFlags: __, billing, ...account } = user;
  return {
    ...account,
    properties: { ...definedProperties(catalogue, user) },
    identities: user.identities.map(({ type, identity }) => ({ type, identity })),
    organizations: membershipsOf(catalogue, user).map((membership) => toMembership(catalogue, membership)),
    billing: billing && { customerId: billing.customerId, agreements: agreementsInEffect(user).map(toAgreement) },
  };
}

const toMembership = (catalogue: Catalogue, membership: Membership): TruthMembership => ({
  code: membership.code,
  roles: rolesOf(catalogue, membership).map(({ key }) => key),
  permissions: permissionsOf(catalogue, membership).map(({ key }) => key),
  directPermissions: membership.permissionIds.flatMap((id) => catalogue.permissions.get(id)?.key ?? []),
});

export const agreementsInEffect = ({ billing }: UserState): Agreement[] =>
  (billing?.agreements ?? []).filter(({ expiresOn }) => expiresOn === null);

/** Returns the entitlements of an agreement as the Management API shows them. */
export const entitlementsOf = ({ planCode, entitlements }: TruthAgreement) =>
  entitlements.map(({ featureCode, entitlementId }) => ({
    id: entitlementId,
    fixed_charge: 0,
    price_name: planCode,
    unit_amount: 0,
    feature_code: featureCode,
    feature_name: featureCode,
    entitlement_limit_max: 1,
    entitlement_limit_min: 0,
  }));

/** Adds the entitlements of the agreement's plan. */
export const toAgreement = ({ expiresOn: _, ...agreement }: Agreement): TruthAgreement => ({
  ...agreement,
  entitlements: [
    { featureCode: `${agreement.planCode}_plan`, entitlementId: `entitlement_${agreement.id.slice(-32)}` },
  ],
});
