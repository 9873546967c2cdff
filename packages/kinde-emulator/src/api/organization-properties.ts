import { z } from "zod";
import { BadRequest, ok } from "../http/reply.ts";
import { detailsOf } from "../kinde/organization-details.ts";
import { organizationOf } from "../kinde/world.ts";
import { ownValue } from "./render.ts";
import { type ApiDeps, type Route, rejectOversizedBulk } from "./route.ts";

const value = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const values = z.object({ properties: z.record(z.string(), value.nullable()) });

/** Routes for the property values of an organization. */
export function organizationPropertyRoutes({ world, actions }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/organizations/{org_code}/properties",
      scope: "read:organization_properties",
      handle: (call) => {
        const { properties } = detailsOf(world, organizationOf(world, call.param("org_code")).code);
        const defined = [...world.catalogue.properties.values()].filter(({ context }) => context === "org");
        return ok({
          properties: defined.map(({ id, key, name, description }) => ({
            id,
            name,
            description,
            key,
            value: ownValue(properties, key) ?? null,
          })),
          next_token: null,
        });
      },
    },
    {
      method: "PATCH",
      path: "/organizations/{org_code}/properties",
      scope: "update:organization_properties",
      handle: async (call) => {
        const { properties } = await call.body(values);
        rejectOversizedBulk(Object.keys(properties).length);
        actions.setOrganizationProperties(call.param("org_code"), properties);
        return ok();
      },
    },
    {
      method: "PUT",
      path: "/organizations/{org_code}/properties/{property_key}",
      scope: "update:organization_properties",
      handle: (call) => {
        const next = call.searchParams().get("value");
        if (next === null) throw new BadRequest("The query parameter value is required.", "value_missing");
        actions.setOrganizationProperties(call.param("org_code"), { [call.param("property_key")]: next });
        return ok();
      },
    },
  ];
}

/** Returns the member `billing` of an organization, as `expand=billing` adds it. */
export function organizationBilling({ world }: Pick<ApiDeps, "world">, code: string): Record<string, unknown> {
  const { agreements } = detailsOf(world, code);
  if (agreements.length === 0) return {};
  return {
    billing: {
      billing_customer_id: `customer_${code.slice(4)}`,
      agreements: agreements.map(({ id, planCode }) => ({ plan_code: planCode, agreement_id: id })),
    },
  };
}
