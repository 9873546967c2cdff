import { z } from "zod";
import { BadRequest, json, ok } from "../http/reply.ts";
import { organizationOf } from "../kinde/world.ts";
import type { OrgInput } from "../truth-types.ts";
import { organizationBilling } from "./organization-properties.ts";
import { pageOf } from "./paging.ts";
import { listedOrganization } from "./render.ts";
import type { ApiDeps, Route } from "./route.ts";

const changes = z.object({
  name: z.string().min(1).exactOptional(),
  handle: z.string().nullable().exactOptional(),
  external_id: z.string().nullable().exactOptional(),
  is_allow_registrations: z.boolean().exactOptional(),
});
const creation = changes.extend({ name: z.string().min(1) });

/** Routes for organizations. */
export function organizationRoutes({ world, actions }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/organization",
      scope: "read:organizations",
      handle: (call) => {
        const code = call.query("code");
        if (code === undefined) throw new BadRequest("The query parameter code is required.", "code_missing");
        const org = organizationOf(world, code);
        return json({
          ...listedOrganization(org),
          ...(call.query("expand") === "billing" && organizationBilling({ world }, code)),
          is_allow_registrations: org.isAllowRegistrations,
          created_on: org.createdOn,
          is_suspended: false,
          suspended_on: null,
        });
      },
    },
    {
      method: "GET",
      path: "/organizations",
      scope: "read:organizations",
      handle: (call) => {
        const { items, next_token } = pageOf(call, actions.organizations(), ({ code }) => code);
        return ok({ organizations: items.map(listedOrganization), next_token });
      },
    },
    {
      method: "POST",
      path: "/organization",
      scope: "create:organizations",
      handle: async (call) => {
        const { code } = actions.createOrganization(inputOf(await call.body(creation)));
        return ok({ organization: { code } });
      },
    },
    {
      method: "PATCH",
      path: "/organization/{org_code}",
      scope: "update:organizations",
      handle: async (call) => {
        actions.updateOrganization(call.param("org_code"), inputOf(await call.body(changes)));
        return ok();
      },
    },
    {
      method: "DELETE",
      path: "/organization/{org_code}",
      scope: "delete:organizations",
      handle: (call) => {
        actions.deleteOrganization(call.param("org_code"));
        return ok();
      },
    },
  ];
}

const inputOf = (body: z.infer<typeof changes>): OrgInput => ({
  ...(body.name !== undefined && { name: body.name }),
  ...(body.handle !== undefined && { handle: body.handle }),
  ...(body.external_id !== undefined && { externalId: body.external_id }),
  ...(body.is_allow_registrations !== undefined && { isAllowRegistrations: body.is_allow_registrations }),
});
