import { newId } from "../state/random.ts";
import { customerIdOf } from "../state/user-ids.ts";
import type { Agreement } from "../state/user-state.ts";
import type { EventSource, KindeActions } from "../types.ts";
import { userOf, type World } from "./world.ts";

type BillingActions = Pick<KindeActions, "assignPlan" | "changePlan" | "cancelPlan">;

const YEAR_MS = 365 * 86_400_000;

/** Plans and agreements. Kinde documents the names of these events but not their payloads, so payloads are minimal. */
export function createBillingActions(world: World, source: EventSource): BillingActions {
  const newAgreement = (planCode: string): Agreement => ({
    id: newId.agreement(),
    planCode,
    expiresOn: new Date(Date.parse(world.timestamp()) + YEAR_MS).toISOString(),
    billingGroupId: newId.agreement().replace("agreement", "sbg"),
  });
  const save = (id: string, agreements: (before: readonly Agreement[]) => readonly Agreement[]) => {
    const user = userOf(world, id);
    const customerId = user.billing?.customerId ?? customerIdOf(id);
    world.users.put({ ...user, billing: { customerId, agreements: agreements(user.billing?.agreements ?? []) } });
    return { customer: { customer_id: customerId }, user: { id } };
  };
  const agreementPayload = ({ id, planCode }: Agreement) => ({ agreement: { id, plan_code: planCode } });

  return {
    assignPlan: (id, planCode) => {
      const agreement = newAgreement(planCode);
      const subject = save(id, (before) => [...before, agreement]);
      world.fire("customer.agreement_created", { ...subject, ...agreementPayload(agreement) }, source);
      world.fire("customer.plan_assigned", { ...subject, plan: { code: planCode } }, source);
    },
    changePlan: (id, planCode) => {
      const agreement = newAgreement(planCode);
      const subject = save(id, () => [agreement]);
      world.fire(
        "customer.plan_changed",
        { ...subject, ...agreementPayload(agreement), plan: { code: planCode } },
        source,
      );
    },
    cancelPlan: (id) => {
      const ended = userOf(world, id).billing?.agreements ?? [];
      const subject = save(id, () => []);
      for (const agreement of ended)
        world.fire("customer.agreement_cancelled", { ...subject, ...agreementPayload(agreement) }, source);
    },
  };
}
