import { z } from "zod";
import { BadRequest, ok } from "../http/reply.ts";
import { toAgreement } from "../kinde/truth.ts";
import { missing } from "../kinde/world.ts";
import { userIdOfCustomer } from "../state/user-ids.ts";
import type { UserState } from "../state/user-state.ts";
import { cursorOf, pageSizeOf } from "./paging.ts";
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
        const all = customerOf(customerId).billing?.agreements ?? [];
        const after = cursorOf(call, "starting_after");
        const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
        const page = all.slice(start, start + pageSizeOf(call)).map(toAgreement);
        const agreements = page.map((one) => ({
          id: one.id,
          plan_code: one.planCode,
          expires_on: one.expiresOn,
          billing_group_id: one.billingGroupId,
          entitlements: one.entitlements.map(({ featureCode, entitlementId }) => ({
            feature_code: featureCode,
            entitlement_id: entitlementId,
          })),
        }));
        return ok({ has_more: start + page.length < all.length, agreements });
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
