import type { KindeActions } from "../action-types.ts";
import type { Authorization, Grants, Session, Visitor } from "../auth/grants.ts";
import type { UserTokens } from "../auth/user-tokens.ts";
import { EmulatorError } from "../emulator-error.ts";
import { isInvited } from "../kinde/invitations.ts";
import { defaultRoles } from "../kinde/memberships.ts";
import { detailsOf } from "../kinde/organization-details.ts";
import { membershipsOf } from "../kinde/truth.ts";
import { userOf, type World } from "../kinde/world.ts";
import type { UserInput } from "../truth-types.ts";
import type { LogEntry } from "../types.ts";
import { callbackUrl, type SignInRequest } from "./request.ts";

export interface SignInDeps {
  world: World;
  /** Actions whose events have the source `user`. */
  actions: KindeActions;
  grants: Grants;
  userTokens: UserTokens;
  onEvent: (entry: LogEntry) => void;
}

/** A user to create. Omitted fields are generated. */
export type SignUp = Pick<UserInput, "email" | "firstName" | "lastName">;

/** A sign-in that succeeded, or the reason why the user is refused. */
export type SignInResult = { ok: true; location: string; session: Session } | { ok: false; problem: string };

/** Signs users in to applications: checks the user and the organization, fires events and issues the code. */
export function createSignIn({ world, actions, grants, userTokens, onEvent }: SignInDeps) {
  const complete = (
    request: SignInRequest,
    userId: string,
    how: "page" | "script" | "session",
    open: (orgCode: string | undefined) => Session,
    organizationName?: string,
  ): SignInResult => {
    const user = userOf(world, userId);
    const refuse = (problem: string): SignInResult => {
      actions.signIn(userId, { ok: false });
      onEvent({ type: "sign_in", how, ok: false });
      return { ok: false, problem };
    };
    if (user.isSuspended) return refuse("This user is suspended and cannot sign in.");
    const target = organizationFor(request, userId, organizationName);
    if ("problem" in target) return refuse(target.problem);
    const session = open(target.code);
    if (how !== "session") actions.signIn(userId);
    onEvent({ type: "sign_in", how, ok: true });
    const authorization: Authorization = {
      clientId: request.application.clientId,
      userId,
      orgCode: target.code,
      scopes: request.scopes,
      audience: request.audience,
      redirectUri: request.redirectUri,
      nonce: request.nonce,
      codeChallenge: request.codeChallenge,
      authTime: session.authTime,
      profile: userTokens.profile(userId, request.scopes),
      sessionId: session.id,
    };
    const code = grants.issueCode(authorization);
    return { ok: true, session, location: callbackUrl(request.redirectUri, { code, state: request.state }) };
  };

  /** Joins or creates the requested organization. Without a request, the user's first active one is used. */
  const organizationFor = (
    { orgCode, newOrganization, invitation }: SignInRequest,
    userId: string,
    name = newOrganization ?? "",
  ): { code: string | undefined } | { problem: string } => {
    if (newOrganization !== undefined) {
      const { code } = actions.createOrganization(name.trim() === "" ? {} : { name: name.trim() });
      actions.addToOrganization(userId, code, { roles: defaultRoles(world) });
      return { code };
    }
    const { organizations } = world.catalogue;
    const memberships = membershipsOf(world.catalogue, userOf(world, userId));
    if (orgCode === undefined) {
      const active = memberships.find(({ code }) => organizations.get(code)?.isSuspended === false);
      if (memberships.length > 0 && !active) return { problem: "All organizations of this user are suspended." };
      return { code: active?.code };
    }
    const organization = organizations.get(orgCode);
    if (!organization) return { problem: `The organization ${orgCode} does not exist.` };
    if (organization.isSuspended) return { problem: `The organization ${organization.name} is suspended.` };
    if (invitation) {
      if (!isInvited(invitation, userOf(world, userId).identities))
        return { problem: `The invitation is for ${invitation.email}.` };
      actions.acceptInvitation(invitation.code, userId);
    } else if (!memberships.some(({ code }) => code === orgCode)) {
      if (!organization.isAllowRegistrations)
        return { problem: `This user is not a member of ${organization.name}, which does not allow registrations.` };
      actions.addToOrganization(userId, orgCode, { roles: defaultRoles(world) });
    }
    return { code: orgCode };
  };

  const opening =
    ({ application }: SignInRequest, userId: string, visitor: Visitor) =>
    (orgCode: string | undefined) =>
      grants.startSession({
        ...{ userId, orgCode, clientId: application.clientId, visitor },
        policy: orgCode === undefined ? {} : detailsOf(world, orgCode).sessionPolicy,
      });

  return {
    /** Signs in a user chosen on the page or by a script, in a new session. */
    signIn: (
      request: SignInRequest,
      userId: string,
      how: "page" | "script",
      visitor: Visitor,
      organizationName?: string,
    ): SignInResult => complete(request, userId, how, opening(request, userId, visitor), organizationName),
    /** Signs in the user of an existing session. Fires no event, unless the user is refused. */
    resume: (request: SignInRequest, session: Session, visitor: Visitor): SignInResult =>
      complete(request, session.userId, "session", (orgCode) => {
        grants.resumeSession(session, { orgCode, visitor });
        return session;
      }),
    /** Creates a user, who is then signed in. */
    signUp: (request: SignInRequest, details: SignUp, visitor: Visitor, organizationName?: string): SignInResult => {
      const { invitation } = request;
      const organization =
        request.orgCode === undefined ? undefined : world.catalogue.organizations.get(request.orgCode);
      if (organization && (organization.isSuspended || !(organization.isAllowRegistrations || invitation)))
        return { ok: false, problem: `The organization ${organization.name} does not allow registrations.` };
      try {
        const user = actions.createUser({
          ...details,
          ...(invitation && { email: invitation.email }),
          ...(organization && { organizations: [{ code: organization.code, roles: defaultRoles(world) }] }),
        });
        return complete(request, user.id, "page", opening(request, user.id, visitor), organizationName);
      } catch (error) {
        if (error instanceof EmulatorError) return { ok: false, problem: error.message };
        throw error;
      }
    },
  };
}

export type SignIn = ReturnType<typeof createSignIn>;
