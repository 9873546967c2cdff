import type { EventSource, KindeActions } from "../action-types.ts";
import { newId } from "../state/random.ts";
import { customerIdOf } from "../state/user-ids.ts";
import type { Agreement } from "../state/user-state.ts";
import { agreementsInEffect } from "./truth.ts";
import { userOf, type World } from "./world.ts";

type BillingActions = Pick<KindeActions, "assignPlan" | "changePlan" | "cancelPlan">;

/** Expired agreements kept per customer. */
const KEPT = 20;

/**
 * Plans and agreements. A customer has one agreement in effect: a new one ends the others. Kinde documents the names of
 * these events but not their payloads, so payloads are minimal.
 */
export function createBillingActions(world: World, source: EventSource): BillingActions {
  const newAgreement = (planCode: string): Agreement => ({
    id: newId.agreement(),
    planCode,
    startedOn: world.timestamp(),
    expiresOn: null,
    billingGroupId: newId.agreement().replace("agreement", "sbg"),
  });
  /** Ends the agreements in effect and adds another one. */
  const replace = (id: string, next: readonly Agreement[]) => {
    const user = userOf(world, id);
    const ended = agreementsInEffect(user);
    const now = world.timestamp();
    const past = (user.billing?.agreements ?? []).map((one) => ({ ...one, expiresOn: one.expiresOn ?? now }));
    const customerId = user.billing?.customerId ?? customerIdOf(id);
    world.users.put({ ...user, billing: { customerId, agreements: [...past.slice(-KEPT), ...next] } });
    return { subject: { customer: { customer_id: customerId }, user: { id } }, ended };
  };
  const agreementPayload = ({ id, planCode }: Agreement) => ({ agreement: { id, plan_code: planCode } });
  const fireCancelled = ({ subject, ended }: ReturnType<typeof replace>) => {
    for (const agreement of ended)
      world.fire("customer.agreement_cancelled", { ...subject, ...agreementPayload(agreement) }, source);
  };

  return {
    assignPlan: (id, planCode) => {
      const agreement = newAgreement(planCode);
      const replaced = replace(id, [agreement]);
      fireCancelled(replaced);
      world.fire("customer.agreement_created", { ...replaced.subject, ...agreementPayload(agreement) }, source);
      world.fire("customer.plan_assigned", { ...replaced.subject, plan: { code: planCode } }, source);
    },
    changePlan: (id, planCode) => {
      const agreement = newAgreement(planCode);
      const { subject } = replace(id, [agreement]);
      const plan = { code: planCode };
      world.fire("customer.plan_changed", { ...subject, ...agreementPayload(agreement), plan }, source);
    },
    cancelPlan: (id) => fireCancelled(replace(id, [])),
  };
}
