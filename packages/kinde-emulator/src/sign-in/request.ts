import { type Applications, allowsUrl } from "../auth/applications.ts";
import { USER_SCOPES } from "../auth/user-tokens.ts";
import { isPending } from "../kinde/invitations.ts";
import type { World } from "../kinde/world.ts";
import type { InvitationState } from "../state/catalogue.ts";
import type { Application } from "../types.ts";

/** A checked request to `/oauth2/auth`. */
export interface SignInRequest {
  application: Application;
  redirectUri: string;
  state: string | undefined;
  nonce: string | undefined;
  scopes: readonly string[];
  audience: readonly string[];
  codeChallenge: string | undefined;
  prompt: "none" | "login" | "create" | undefined;
  /** Open the sign-up form. */
  signUp: boolean;
  loginHint: string | undefined;
  orgCode: string | undefined;
  /** Create an organization with this name, which can be empty, after the sign-in. */
  newOrganization: string | undefined;
  /** A pending invitation to `orgCode`, which the sign-in accepts. */
  invitation: InvitationState | undefined;
}

export type ParsedRequest =
  | { ok: true; request: SignInRequest }
  /** The application or its callback URL is unknown: nothing may be sent there. */
  | { ok: false; refusal: string }
  | { ok: false; redirect: string };

const MAX_PARAMETER = 2000;

export function parseRequest(params: URLSearchParams, applications: Applications, world: World): ParsedRequest {
  const refuse = (refusal: string): ParsedRequest => ({ ok: false, refusal });
  if ([...params].some(([, value]) => value.length > MAX_PARAMETER))
    return refuse(`A parameter is longer than ${MAX_PARAMETER} characters.`);
  const one = (name: string) => params.get(name) || undefined;
  const repeated = ["client_id", "redirect_uri", "response_type", "state"].find(
    (name) => params.getAll(name).length > 1,
  );
  if (repeated !== undefined) return refuse(`The parameter ${repeated} is repeated.`);

  const application = applications.get(one("client_id") ?? "");
  if (!application)
    return refuse("No application has this client_id. Set KINDE_CLIENT_ID to the one the emulator printed at start.");
  const redirectUri = one("redirect_uri") ?? "";
  if (!allowsUrl(application.callbackUrls, redirectUri))
    return refuse(
      `"${redirectUri}" is not an allowed callback URL of ${application.name}. ` +
        (application.callbackUrls === "loopback"
          ? "It accepts any URL on localhost or another loopback address."
          : `It allows: ${application.callbackUrls.join(", ")}.`),
    );

  const invitationCode = one("invitation_code");
  const invitation = invitationCode === undefined ? undefined : world.catalogue.invitations.get(invitationCode);
  if (invitationCode !== undefined && !(invitation && isPending(invitation)))
    return refuse("This invitation is unknown, revoked or already accepted.");
  const isInvitedUser = invitation && world.users.findByIdentity(invitation.email) !== undefined;

  const state = one("state");
  const fail = (error: string, description: string): ParsedRequest => ({
    ok: false,
    redirect: errorRedirect({ redirectUri, state }, error, description),
  });
  if (one("response_type") !== "code")
    return fail("unsupported_response_type", "Only response_type=code is supported.");
  const codeChallenge = one("code_challenge");
  if (codeChallenge !== undefined && one("code_challenge_method") !== "S256")
    return fail("invalid_request", "Only code_challenge_method=S256 is supported.");
  if (codeChallenge !== undefined && !/^[\w-]{43}$/.test(codeChallenge))
    return fail("invalid_request", "code_challenge is not an S256 challenge of 43 characters.");
  const scopes = [...new Set((one("scope") ?? "openid").split(/\s+/).filter(Boolean))];
  const audience = [
    ...new Set(
      params
        .getAll("audience")
        .flatMap((list) => list.split(/\s+/))
        .filter(Boolean),
    ),
  ];
  const unknown = scopes.find((scope) => !USER_SCOPES.some((known) => known === scope));
  // Scopes beyond OpenID Connect's belong to an API of the app's, which the audience names.
  if (unknown !== undefined && audience.length === 0)
    return fail("invalid_scope", `The scope ${unknown} is unknown, and no audience names an API that could have it.`);
  const prompt = one("prompt");
  if (prompt !== undefined && prompt !== "none" && prompt !== "login" && prompt !== "create")
    return fail("invalid_request", "prompt must be none, login or create.");

  return {
    ok: true,
    request: {
      application,
      redirectUri,
      state,
      nonce: one("nonce"),
      scopes,
      audience,
      codeChallenge,
      prompt,
      signUp: invitation
        ? !isInvitedUser
        : prompt === "create" || one("start_page") === "registration" || one("start_page") === "register",
      loginHint: invitation?.email ?? one("login_hint"),
      orgCode: invitation?.organization ?? one("org_code"),
      newOrganization: one("is_create_org") === "true" ? (params.get("org_name") ?? "") : undefined,
      invitation,
    },
  };
}

/** Returns the callback URL with parameters added. */
export function callbackUrl(redirectUri: string, params: Record<string, string | undefined>): string {
  const url = new URL(redirectUri);
  for (const [name, value] of Object.entries(params)) if (value !== undefined) url.searchParams.set(name, value);
  return url.href;
}

export const errorRedirect = (
  { redirectUri, state }: Pick<SignInRequest, "redirectUri" | "state">,
  error: string,
  description: string,
): string => callbackUrl(redirectUri, { error, error_description: description, state });
