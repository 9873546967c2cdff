import { customerIdOf, newId } from "../state/random-id.ts";
import type { Agreement } from "../state/user-state.ts";
import type { EventSource, KindeActions } from "../types.ts";
import { userOf, type World } from "./world.ts";

type BillingActions = Pick<KindeActions, "assignPlan" | "changePlan" | "cancelPlan">;

const YEAR_MS = 365 * 86_400_000;

/** Plans and agreements. Kinde documents the names of these events, not their payloads: the least is sent. */
export function createBillingActions(world: World, source: EventSource): BillingActions {
  const agree = (planCode: string): Agreement => ({
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
  const agreed = ({ id, planCode }: Agreement) => ({ agreement: { id, plan_code: planCode } });

  return {
    assignPlan: (id, planCode) => {
      const agreement = agree(planCode);
      const whose = save(id, (before) => [...before, agreement]);
      world.fire("customer.agreement_created", { ...whose, ...agreed(agreement) }, source);
      world.fire("customer.plan_assigned", { ...whose, plan: { code: planCode } }, source);
    },
    changePlan: (id, planCode) => {
      const agreement = agree(planCode);
      const whose = save(id, () => [agreement]);
      world.fire("customer.plan_changed", { ...whose, ...agreed(agreement), plan: { code: planCode } }, source);
    },
    cancelPlan: (id) => {
      const ended = userOf(world, id).billing?.agreements ?? [];
      const whose = save(id, () => []);
      for (const agreement of ended)
        world.fire("customer.agreement_cancelled", { ...whose, ...agreed(agreement) }, source);
    },
  };
}
