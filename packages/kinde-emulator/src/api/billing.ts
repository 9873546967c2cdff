import { z } from "zod";
import { BadRequest, ok } from "../http/reply.ts";
import { agreementsInEffect, entitlementsOf, toAgreement } from "../kinde/truth.ts";
import { missing } from "../kinde/world.ts";
import { userIdOfCustomer } from "../state/user-ids.ts";
import type { UserState } from "../state/user-state.ts";
import { cursorPageOf } from "./paging.ts";
import type { ApiDeps, Route } from "./route.ts";

const creation = z.object({ customer_id: z.string().min(1), plan_code: z.string().min(1) });

/** Routes for the agreements of a billing customer. */
export function billingRoutes({ world, actions }: ApiDeps): Route[] {
  const customerOf = (customerId: string): UserState => {
    const user = world.users.get(userIdOfCustomer(customerId));
    return user?.billing?.customerId === customerId ? user : missing("customer", customerId);
  };
  return [
    {
      method: "GET",
      path: "/billing/agreements",
      scope: "read:billing_agreements",
      handle: (call) => {
        const customerId = call.query("customer_id");
        if (customerId === undefined)
          throw new BadRequest("The query parameter customer_id is required.", "customer_id_missing");
        const feature = call.query("feature_code");
        const all = (customerOf(customerId).billing?.agreements ?? [])
          .map((agreement) => ({ agreement, entitlements: toAgreement(agreement).entitlements }))
          .filter(({ entitlements }) => !feature || entitlements.some(({ featureCode }) => featureCode === feature));
        const { items, has_more } = cursorPageOf(call, all, ({ agreement }) => agreement.id);
        const agreements = items.map(({ agreement, entitlements }) => ({
          id: agreement.id,
          plan_code: agreement.planCode,
          expires_on: agreement.expiresOn,
          billing_group_id: agreement.billingGroupId,
          current_period_start: null,
          current_period_end: null,
          entitlements: entitlements.map(({ featureCode, entitlementId }) => ({
            feature_code: featureCode,
            entitlement_id: entitlementId,
          })),
        }));
        return ok({ has_more, agreements });
      },
    },
    {
      method: "GET",
      path: "/billing/entitlements",
      scope: "read:billing_entitlements",
      handle: (call) => {
        const customerId = call.query("customer_id");
        // Every limit is known, so `max_value`, which replaces an unknown one, changes nothing.
        call.query("max_value");
        if (customerId === undefined)
          throw new BadRequest("The query parameter customer_id is required.", "customer_id_missing");
        const agreements = agreementsInEffect(customerOf(customerId)).map(toAgreement);
        const all = agreements.flatMap(entitlementsOf);
        const { items, has_more } = cursorPageOf(call, all, ({ id }) => id);
        const plans = agreements.map(({ planCode, startedOn }) => ({ code: planCode, subscribed_on: startedOn }));
        return ok({ has_more, entitlements: items, ...(call.query("expand") === "plans" && { plans }) });
      },
    },
    {
      method: "POST",
      path: "/billing/agreements",
      scope: "create:billing_agreements",
      handle: async (call) => {
        const { customer_id, plan_code } = await call.body(creation);
        actions.assignPlan(customerOf(customer_id).id, plan_code);
        return ok();
      },
    },
  ];
}
