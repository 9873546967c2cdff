import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random.ts";
import type { Org } from "../truth-types.ts";
import type { EventSource, KindeActions } from "../types.ts";
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
      if (organizations.has(code))
        throw new EmulatorError("organization_already_exists", `Organization "${code}" already exists.`);
      const org: Org = {
        code,
        name: input.name ?? `Organization ${code.slice(4)}`,
        handle: input.handle ?? null,
        externalId: input.externalId ?? null,
        isDefault: organizations.size === 0,
        isAllowRegistrations: input.isAllowRegistrations ?? false,
        createdOn: world.timestamp(),
      };
      organizations.set(code, org);
      world.fire("organization.created", organizationPayload(org), source);
      return org;
    },
    updateOrganization: (code, changes) => {
      const org = { ...organizationOf(world, code), ...changes };
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
