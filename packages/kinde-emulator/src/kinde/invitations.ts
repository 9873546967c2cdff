import type { KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import type { InvitationState } from "../state/catalogue.ts";
import { newId } from "../state/random.ts";
import type { Invitation } from "../truth-types.ts";
import { missing, organizationOf, roleByKey, userOf, type World } from "./world.ts";

type InvitationActions = Pick<KindeActions, "invitations" | "invite" | "revokeInvitation" | "acceptInvitation">;

/** Invitations to organizations. Accepting one fires the events of joining, the others fire nothing. */
export function createInvitationActions(
  world: World,
  addToOrganization: KindeActions["addToOrganization"],
): InvitationActions {
  const { invitations, roles } = world.catalogue;
  const toInvitation = ({ roleIds, ...invitation }: InvitationState): Invitation => ({
    ...invitation,
    roles: roleIds.flatMap((id) => roles.get(id)?.key ?? []),
  });
  const pending = (code: string) => {
    const invitation = invitations.get(code) ?? missing("invitation", code);
    if (isPending(invitation)) return invitation;
    const state = invitation.isRevoked ? "revoked" : "already accepted";
    throw new EmulatorError("invalid_invitation", `The invitation is ${state}.`);
  };

  return {
    invitations: (organization) =>
      [...invitations.values()].filter((one) => one.organization === organization).map(toInvitation),
    invite: (organization, { email, firstName = null, lastName = null, roles: keys = [], isSent = false }) => {
      organizationOf(world, organization);
      if (!/^[^\s@]+@[^\s@]+$/.test(email))
        throw new EmulatorError("invalid_invitation", "The invitation needs an email address.");
      const invitation: InvitationState = {
        id: newId.invitation(),
        code: newId.invitation(),
        organization,
        email,
        firstName,
        lastName,
        roleIds: [...new Set(keys)].map((key) => roleByKey(world, key).id),
        isSent,
        isRevoked: false,
        acceptedOn: null,
        createdOn: world.timestamp(),
      };
      invitations.set(invitation.code, invitation);
      return toInvitation(invitation);
    },
    revokeInvitation: (code) => void invitations.set(code, { ...pending(code), isRevoked: true }),
    acceptInvitation: (code, userId) => {
      const invitation = pending(code);
      const user = userOf(world, userId);
      if (!isInvited(invitation, user.identities))
        throw new EmulatorError("invalid_invitation", `The invitation is for ${invitation.email}.`);
      const member = user.memberships.find((one) => one.code === invitation.organization);
      const held = (member?.roleIds ?? []).flatMap((id) => roles.get(id)?.key ?? []);
      addToOrganization(userId, invitation.organization, { roles: [...held, ...toInvitation(invitation).roles] });
      invitations.set(code, { ...invitation, acceptedOn: world.timestamp() });
    },
  };
}

export const isPending = ({ isRevoked, acceptedOn }: Pick<Invitation, "isRevoked" | "acceptedOn">): boolean =>
  !isRevoked && acceptedOn === null;

/** Whether one of the identities has the email address that an invitation was sent to. */
export const isInvited = (
  { email }: Pick<Invitation, "email">,
  identities: readonly { type: string; identity: string }[],
): boolean =>
  identities.some(({ type, identity }) => type === "email" && identity.toLowerCase() === email.toLowerCase());
