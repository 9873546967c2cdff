import type { Catalogue, RoleState } from "../state/catalogue.ts";
import type { Membership, UserState } from "../state/user-state.ts";
import type { Org, Permission } from "../truth-types.ts";
import { membershipsOf, permissionsOf, rolesOf } from "./truth.ts";

const idAndKey = ({ id, key }: { id: string; key: string }) => ({ id, key });
const orNull = <T>(list: T[]): T[] | null => (list.length === 0 ? null : list);

/** `data` of `user.created` and `user.updated`: account and organizations, but no properties. */
export function userPayload(catalogue: Catalogue, user: UserState): Record<string, unknown> {
  return {
    user: {
      email: user.email,
      first_name: user.firstName,
      id: user.id,
      is_password_reset_requested: user.isPasswordResetRequested,
      is_suspended: user.isSuspended,
      last_name: user.lastName,
      organizations: orNull(membershipsOf(catalogue, user).map((one) => organizationOfUser(catalogue, one))),
      phone: user.phone,
      username: user.username,
    },
  };
}

const organizationOfUser = (catalogue: Catalogue, membership: Membership) => ({
  code: membership.code,
  permissions: orNull(permissionsOf(catalogue, membership).map(idAndKey)),
  roles: orNull(rolesOf(catalogue, membership).map(idAndKey)),
});

export const organizationPayload = (org: Org) => ({
  organization: {
    code: org.code,
    external_id: org.externalId,
    handle: org.handle,
    is_allow_registrations: org.isAllowRegistrations,
    name: org.name,
  },
});

export const rolePayload = ({ description, id, isDefaultRole, key, name }: RoleState) => ({
  role: { description, id, is_default_role: isDefaultRole, key, name },
});

export const permissionPayload = ({ description, id, key, name }: Permission) => ({
  permission: { description, id, key, name },
});
