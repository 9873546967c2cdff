import type { Grant, Membership } from "kindling/contract";
import type { GrantPart } from "./gather-grants.ts";
import type { GrantCatalogue, HeldIn } from "./grant-index.ts";

/**
 * Returns a user's membership as the listings show it: the roles, and the permissions that were listed or that the roles
 * grant, sorted by key. Whether Kinde's filter by permission also finds those of roles is not documented, so both are
 * combined.
 *
 * @param parts without `permissions`, the result has those of the roles only
 */
export function listedMembership(
  catalogue: GrantCatalogue,
  parts: readonly GrantPart[],
  code: string,
  held: readonly HeldIn[],
): Membership {
  const entry = held.find((each) => each.code === code);
  const roles = (entry?.roles ?? []).flatMap((position) => catalogue.roles[position] ?? []);
  const listed = parts.includes("permissions") ? (entry?.permissions ?? []) : [];
  const direct = listed.flatMap((position) => catalogue.permissions[position] ?? []);
  return {
    code,
    roles: roles.map(({ id, key }) => ({ id, key })),
    permissions: distinct([...direct, ...roles.flatMap(({ permissions }) => permissions)]),
  };
}

function distinct(grants: readonly Grant[]): Grant[] {
  const byId = new Map(grants.map(({ id, key }) => [id, { id, key }]));
  return [...byId.values()].sort((one, other) => (one.key < other.key ? -1 : 1));
}
