import { z } from "zod";
import { BadRequest, json, ok } from "../http/reply.ts";
import { isPending } from "../kinde/invitations.ts";
import { missing, organizationOf } from "../kinde/world.ts";
import { find } from "../state/catalogue.ts";
import type { Invitation } from "../truth-types.ts";
import { pageOf, sorted } from "./paging.ts";
import type { ApiCall, ApiDeps, Route } from "./route.ts";

const creation = z.object({
  email: z.string().min(1),
  first_name: z.string().nullable().exactOptional(),
  last_name: z.string().nullable().exactOptional(),
  roles: z.array(z.string()),
  send_email: z.boolean().exactOptional(),
});

const MAX_EMAIL = 254;
const MAX_NAME = 64;

/** Routes for invitations to an organization. */
export function invitationRoutes({ world, actions, issuer }: ApiDeps): Route[] {
  const render = (invitation: Invitation) => ({
    id: invitation.id,
    code: invitation.code,
    email: invitation.email,
    first_name: invitation.firstName,
    last_name: invitation.lastName,
    full_name: fullName(invitation),
    created_on: invitation.createdOn,
    is_sent: invitation.isSent,
    accepted_on: invitation.acceptedOn,
    roles: invitation.roles.map((key) => ({
      key,
      name: find(world.catalogue.roles, (role) => role.key === key)?.name ?? key,
    })),
    is_revoked: invitation.isRevoked,
    invite_link: `${issuer()}/team_invitation?code=${invitation.code}`,
  });
  const invitationOf = (call: ApiCall): Invitation => {
    const { code: organization } = organizationOf(world, call.param("org_code"));
    const code = call.param("invite_code");
    return actions.invitations(organization).find((one) => one.code === code) ?? missing("invitation", code);
  };
  const included = (call: ApiCall, name: string) => call.query(name) === "true";

  return [
    {
      method: "GET",
      path: "/organization/{org_code}/invites",
      scope: "read:organization_invites",
      handle: (call) => {
        const { code } = organizationOf(world, call.param("org_code"));
        const [revoked, accepted] = [included(call, "include_revoked"), included(call, "include_accepted")];
        const shown = actions.invitations(code).filter((one) => isPending(one) || (one.isRevoked ? revoked : accepted));
        const { items, next_token } = pageOf(call, sorted(call, shown, SORT_KEYS), ({ id }) => id);
        return ok({ invites: items.map(render), next_token });
      },
    },
    {
      method: "POST",
      path: "/organization/{org_code}/invites",
      scope: "create:organization_invites",
      handle: async (call) => {
        const { email, first_name = null, last_name = null, roles, send_email } = await call.body(creation);
        rejectLong("email", email, MAX_EMAIL);
        rejectLong("first_name", first_name, MAX_NAME);
        rejectLong("last_name", last_name, MAX_NAME);
        const invitation = actions.invite(call.param("org_code"), {
          ...{ email, firstName: first_name, lastName: last_name, roles },
          isSent: send_email ?? false,
        });
        const answer = { code: "INVITATION_CREATED", message: "Invitation created", invite: render(invitation) };
        return json(answer, 201);
      },
    },
    {
      method: "GET",
      path: "/organization/{org_code}/invites/{invite_code}",
      scope: "read:organization_invites",
      handle: (call) => json({ message: "Success", ...render(invitationOf(call)) }),
    },
    {
      method: "DELETE",
      path: "/organization/{org_code}/invites/{invite_code}",
      scope: "delete:organization_invites",
      handle: (call) => {
        actions.revokeInvitation(invitationOf(call).code);
        return ok();
      },
    },
  ];
}

const fullName = ({ firstName, lastName }: Invitation) => [firstName, lastName].filter(Boolean).join(" ");

const SORT_KEYS = {
  created_on: ({ createdOn }: Invitation) => createdOn,
  email: ({ email }: Invitation) => email,
  name: fullName,
};

function rejectLong(field: string, value: string | null, max: number): void {
  if (value !== null && value.length > max)
    throw new BadRequest(`${field} has more than ${max} characters.`, `${field}_too_long`);
}
