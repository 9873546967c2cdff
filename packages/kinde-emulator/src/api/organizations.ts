import { z } from "zod";
import { BadRequest, json, ok } from "../http/reply.ts";
import { organizationOf } from "../kinde/world.ts";
import type { OrgInput } from "../truth-types.ts";
import { organizationBilling } from "./organization-properties.ts";
import { pageOf, sorted } from "./paging.ts";
import { listedOrganization } from "./render.ts";
import type { ApiDeps, Route } from "./route.ts";

const changes = z.object({
  name: z.string().min(1).exactOptional(),
  handle: z.string().nullable().exactOptional(),
  external_id: z.string().nullable().exactOptional(),
  is_allow_registrations: z.boolean().nullable().exactOptional(),
  is_auto_membership_enabled: z.boolean().exactOptional(),
  is_suspended: z.boolean().exactOptional(),
});
const creation = changes.omit({ is_suspended: true }).extend({ name: z.string().min(1) });

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
          is_suspended: org.isSuspended,
          suspended_on: org.suspendedOn,
          ...NO_BRAND,
        });
      },
    },
    {
      method: "GET",
      path: "/organizations",
      scope: "read:organizations",
      handle: (call) => {
        const { items, next_token } = pageOf(
          call,
          // Organizations have no address: sorting by email keeps their order.
          sorted(call, actions.organizations(), { name: ({ name }) => name, email: () => "" }),
          ({ code }) => code,
        );
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

/** The emulator keeps no brand and no sender of an organization. */
const NO_BRAND = {
  ...{ logo: null, logo_dark: null, favicon_svg: null, favicon_fallback: null, allowed_domains: [] },
  ...{ link_color: null, background_color: null, button_color: null, button_text_color: null },
  ...{ link_color_dark: null, background_color_dark: null, button_color_dark: null, button_text_color_dark: null },
  ...{ button_border_radius: null, card_border_radius: null, input_border_radius: null },
  ...{ theme_code: "light", color_scheme: "light", sender_name: null, sender_email: null },
};

const inputOf = (body: z.infer<typeof changes>): OrgInput => ({
  ...(body.name !== undefined && { name: body.name }),
  ...(body.handle !== undefined && { handle: body.handle }),
  ...(body.external_id !== undefined && { externalId: body.external_id }),
  ...(body.is_allow_registrations !== undefined && { isAllowRegistrations: body.is_allow_registrations ?? false }),
  ...(body.is_auto_membership_enabled !== undefined && { isAutoMembershipEnabled: body.is_auto_membership_enabled }),
  ...(body.is_suspended !== undefined && { isSuspended: body.is_suspended }),
});
