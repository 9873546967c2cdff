import type { EventSource, KindeActions } from "../action-types.ts";
import { createBillingActions } from "./billing.ts";
import { createFeatureFlagActions } from "./feature-flags.ts";
import { createIdentityActions } from "./identities.ts";
import { createInvitationActions } from "./invitations.ts";
import { createMembershipActions } from "./memberships.ts";
import { createOrganizationDetailActions } from "./organization-details.ts";
import { createOrganizationActions } from "./organizations.ts";
import { createPermissionActions } from "./permissions.ts";
import { createPropertyActions } from "./properties.ts";
import { createRoleActions } from "./roles.ts";
import { toTruth } from "./truth.ts";
import { createUserActions } from "./users.ts";
import type { World } from "./world.ts";

/** Creates all actions. `source` is the origin their events name. */
export function createKindeActions(world: World, source: EventSource, emit: KindeActions["emit"]): KindeActions {
  const permissions = createPermissionActions(world, source);
  const memberships = createMembershipActions(world, source);
  return {
    user: (id) => {
      const user = world.users.get(id);
      return user && toTruth(world.catalogue, user);
    },
    userIds: () => world.users.ids(),
    get userCount() {
      return world.users.count;
    },
    ...createUserActions(world, source),
    ...createIdentityActions(world, source),
    ...createPropertyActions(world),
    ...createOrganizationActions(world, source),
    ...createOrganizationDetailActions(world, source),
    ...memberships,
    ...createInvitationActions(world, memberships.addToOrganization),
    ...permissions,
    ...createRoleActions(world, source, permissions.createPermission),
    ...createBillingActions(world, source),
    ...createFeatureFlagActions(world),
    emit,
  };
}
