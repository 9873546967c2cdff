import type { EventSource, KindeActions, SilentOption } from "../action-types.ts";
import type { Membership, UserState } from "../state/user-state.ts";
import { userPayload } from "./payloads.ts";
import { missing, organizationOf, permissionByKey, roleByKey, userOf, type World } from "./world.ts";

type MembershipActions = Pick<
  KindeActions,
  "addToOrganization" | "removeFromOrganization" | "setRoles" | "setPermissions"
>;

interface Grant {
  roles?: readonly string[];
  permissions?: readonly string[];
}

/** Memberships with their roles and permissions. Every change fires `user.updated`, unless it is to be silent. */
export function createMembershipActions(world: World, source: EventSource): MembershipActions {
  const save = (user: UserState, memberships: readonly Membership[], { silent = false }: SilentOption = {}) => {
    const changed = { ...user, memberships };
    world.users.put(changed);
    if (!silent) world.fire("user.updated", userPayload(world.catalogue, changed), source);
  };
  const replace = (id: string, code: string, make: (membership: Membership) => Membership) => {
    organizationOf(world, code);
    const user = userOf(world, id);
    if (!user.memberships.some((one) => one.code === code)) missing("member", `${id} of ${code}`);
    save(
      user,
      user.memberships.map((one) => (one.code === code ? make(one) : one)),
    );
  };

  return {
    addToOrganization: (id, code, grant = {}) => {
      const user = userOf(world, id);
      const before = user.memberships.find((one) => one.code === code);
      const after = { ...membershipFor(world, code, grant, before), joinedOn: before?.joinedOn ?? world.timestamp() };
      const others = user.memberships.filter((one) => one.code !== code);
      save(user, [...others, after]);
    },
    removeFromOrganization: (id, code, options = {}) => {
      const user = userOf(world, id);
      if (!user.memberships.some((one) => one.code === code)) missing("member", `${id} of ${code}`);
      save(
        user,
        user.memberships.filter((one) => one.code !== code),
        options,
      );
    },
    setRoles: (id, code, roles) =>
      replace(id, code, (one) => ({ ...one, roleIds: unique(roles).map((key) => roleByKey(world, key).id) })),
    setPermissions: (id, code, permissions) =>
      replace(id, code, (one) => ({
        ...one,
        permissionIds: unique(permissions).map((key) => permissionByKey(world, key).id),
      })),
  };
}

/** Builds a membership from keys. Roles and permissions that `grant` omits are taken from `before`. */
export function membershipFor(world: World, code: string, grant: Grant, before?: Membership): Membership {
  return {
    code: organizationOf(world, code).code,
    roleIds: grant.roles ? unique(grant.roles).map((key) => roleByKey(world, key).id) : (before?.roleIds ?? []),
    permissionIds: grant.permissions
      ? unique(grant.permissions).map((key) => permissionByKey(world, key).id)
      : (before?.permissionIds ?? []),
    joinedOn: before?.joinedOn ?? world.timestamp(),
  };
}

/** Keys of the roles that new members get. */
export const defaultRoles = ({ catalogue }: World): string[] =>
  [...catalogue.roles.values()].filter(({ isDefaultRole }) => isDefaultRole).map(({ key }) => key);

const unique = (keys: readonly string[]) => [...new Set(keys)];
