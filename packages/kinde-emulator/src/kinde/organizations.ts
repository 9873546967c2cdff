import type { EventSource, KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random.ts";
import type { Org } from "../truth-types.ts";
import { organizationPayload } from "./payloads.ts";
import { organizationOf, type World } from "./world.ts";

type OrganizationActions = Pick<
  KindeActions,
  "organizations" | "createOrganization" | "updateOrganization" | "deleteOrganization"
>;

/** Organizations. Deleting one fires no event for its members. */
export function createOrganizationActions(world: World, source: EventSource): OrganizationActions {
  const { organizations } = world.catalogue;
  return {
    organizations: () => [...organizations.values()],
    createOrganization: (input = {}) => {
      const code = input.code ?? newId.organization();
      if (input.isSuspended && organizations.size === 0)
        throw new EmulatorError("invalid_organization", "The default organization cannot be suspended.");
      if (organizations.has(code))
        throw new EmulatorError("organization_already_exists", `Organization "${code}" already exists.`);
      const org: Org = {
        code,
        name: input.name ?? `Organization ${code.slice(4)}`,
        handle: input.handle ?? null,
        externalId: input.externalId ?? null,
        isDefault: organizations.size === 0,
        isAllowRegistrations: input.isAllowRegistrations ?? false,
        isAutoMembershipEnabled: input.isAutoMembershipEnabled ?? false,
        isSuspended: input.isSuspended ?? false,
        suspendedOn: input.isSuspended ? world.timestamp() : null,
        createdOn: world.timestamp(),
      };
      organizations.set(code, org);
      world.fire("organization.created", organizationPayload(org), source);
      return org;
    },
    updateOrganization: (code, changes) => {
      const before = organizationOf(world, code);
      if (changes.isSuspended && before.isDefault)
        throw new EmulatorError("invalid_organization", "The default organization cannot be suspended.");
      const isSuspended = changes.isSuspended ?? before.isSuspended;
      const suspendedOn = isSuspended ? (before.suspendedOn ?? world.timestamp()) : null;
      const org = { ...before, ...changes, isSuspended, suspendedOn };
      organizations.set(code, org);
      world.fire("organization.updated", organizationPayload(org), source);
    },
    deleteOrganization: (code) => {
      organizationOf(world, code);
      organizations.delete(code);
      world.fire("organization.deleted", { organization: { code } }, source);
    },
  };
}
