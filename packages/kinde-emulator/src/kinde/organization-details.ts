import type { EventSource, KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import type { OrganizationDetails, SessionPolicy } from "../state/catalogue.ts";
import { newId } from "../state/random.ts";
import { organizationOf, type World } from "./world.ts";

type OrganizationDetailActions = Pick<
  KindeActions,
  "organizationProperties" | "setOrganizationProperties" | "assignOrganizationPlan" | "cancelOrganizationPlan"
>;

/** Returns the details of an organization. Deleting the organization hides them. */
export function detailsOf({ catalogue }: World, code: string): OrganizationDetails {
  return catalogue.organizationDetails.get(code) ?? { properties: {}, agreements: [], sessionPolicy: {} };
}

/** Sets how long sign-ins to an organization last. Omitted members stay. */
export function setSessionPolicy(world: World, code: string, changes: SessionPolicy): void {
  const details = detailsOf(world, organizationOf(world, code).code);
  const sessionPolicy = { ...details.sessionPolicy, ...changes };
  world.catalogue.organizationDetails.set(code, { ...details, sessionPolicy });
}

/** Properties and plans of organizations. A changed property fires no event, as in Kinde. */
export function createOrganizationDetailActions(world: World, source: EventSource): OrganizationDetailActions {
  const change = (code: string, changes: Partial<OrganizationDetails>) => {
    organizationOf(world, code);
    world.catalogue.organizationDetails.set(code, { ...detailsOf(world, code), ...changes });
  };
  const fire = (type: string, code: string, planCode: string) =>
    world.fire(type, { organization: { code }, agreement: { plan_code: planCode } }, source);
  const replaceAgreements = (code: string, agreements: OrganizationDetails["agreements"]) => {
    const ended = detailsOf(world, code).agreements;
    change(code, { agreements });
    for (const { planCode } of ended) fire("customer.agreement_cancelled", code, planCode);
  };
  return {
    organizationProperties: (code) => ({ ...detailsOf(world, organizationOf(world, code).code).properties }),
    setOrganizationProperties: (code, changes) => {
      const after = new Map(Object.entries(detailsOf(world, code).properties));
      for (const [key, value] of Object.entries(changes)) {
        if (world.catalogue.properties.get(key)?.context !== "org")
          throw new EmulatorError(
            "invalid_property",
            `Organization property "${key}" is not defined. Create it first, with the context "org".`,
          );
        if (value === null) after.delete(key);
        else after.set(key, value);
      }
      change(code, { properties: Object.fromEntries(after) });
    },
    assignOrganizationPlan: (code, planCode) => {
      replaceAgreements(code, [{ id: newId.agreement(), planCode }]);
      fire("customer.agreement_created", code, planCode);
    },
    cancelOrganizationPlan: (code) => replaceAgreements(code, []),
  };
}
