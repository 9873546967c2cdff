import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import { cors } from "hono/cors";
import type { Faults } from "../faults/faults.ts";
import { keySetInterrupt } from "../faults/interrupts.ts";
import type { createPipeline, EmulatorContext } from "../http/pipeline.ts";
import { json, type Reply } from "../http/reply.ts";
import { fullName } from "../kinde/truth.ts";
import { type Applications, allowsOrigin } from "./applications.ts";
import type { Bearer } from "./bearer.ts";
import { discoveryDocument } from "./discovery.ts";
import type { Grants } from "./grants.ts";
import type { Keys } from "./keys.ts";
import { oauthError, oauthReply } from "./oauth-error.ts";
import type { Tokens } from "./tokens.ts";
import type { UserGrants } from "./user-grants.ts";

export interface AuthRouteDeps {
  keys: Keys;
  tokens: Tokens;
  grants: Grants;
  userGrants: UserGrants;
  bearer: Bearer;
  applications: Applications;
  faults: Faults;
  issuer: () => string;
}

/** Mounts keys, discovery, tokens, introspection, revocation and the user's profile. */
export function mountAuth(
  app: Hono<{ Bindings: HttpBindings }>,
  pipeline: ReturnType<typeof createPipeline>,
  deps: AuthRouteDeps,
): void {
  const { keys, faults, issuer, bearer, applications } = deps;
  const on = (method: "GET" | "POST", route: string, handle: (context: EmulatorContext) => Reply | Promise<Reply>) =>
    app.on(method, route, pipeline({ method, route, handle }));

  app.use("/.well-known/*", cors({ origin: "*" }));
  const forApplications = cors({
    origin: (origin) => (applications.list().some((one) => allowsOrigin(one, origin)) ? origin : null),
    // Browser SDKs send credentials to every domain that is not Kinde's own.
    credentials: true,
    allowMethods: ["GET", "POST"],
    allowHeaders: ["authorization", "content-type", "kinde-sdk"],
    maxAge: 600,
  });
  for (const path of ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/v2/user_profile"])
    app.use(path, forApplications);
  app.use("/account_api/*", forApplications);

  for (const route of ["/.well-known/jwks", "/.well-known/jwks.json"]) {
    const interrupt = () => keySetInterrupt(faults);
    app.get(route, pipeline({ method: "GET", route, interrupt, handle: () => json(keys.jwks()) }));
  }
  on("GET", "/.well-known/openid-configuration", () => json(discoveryDocument(issuer())));
  on("POST", "/oauth2/token", async (context) => oauthReply(await issueToken(deps, await formOf(context))));
  on("POST", "/oauth2/revoke", async (context) => oauthReply(await revoke(deps, await formOf(context))));
  on("POST", "/oauth2/introspect", async (context) =>
    oauthReply(await introspect(deps, await formOf(context), context.req.header("authorization"))),
  );
  on("GET", "/oauth2/v2/user_profile", async (context) => {
    const signedIn = await bearer.userOf(context.req.header("authorization"));
    if (!signedIn)
      return oauthReply(oauthError("invalid_token", "The access token is missing, expired or invalid.", 401));
    const { user } = signedIn;
    return json({
      sub: user.id,
      id: user.id,
      name: fullName(user),
      given_name: user.firstName,
      family_name: user.lastName,
      email: user.email,
      picture: user.picture,
      updated_at: Math.floor(Date.parse(user.lastSignedIn ?? user.createdOn) / 1000),
    });
  });
}

type Field = (name: string) => string | undefined;

/** A form with the client's credentials, which basic authentication can carry instead. */
interface ClientForm {
  field: Field;
  clientId: string | undefined;
  clientSecret: string | undefined;
}

async function formOf(context: EmulatorContext): Promise<ClientForm> {
  const form = new URLSearchParams(await context.req.text());
  const field: Field = (name) => form.get(name) || undefined;
  const basic = /^Basic (.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
  if (basic === undefined) return { field, clientId: field("client_id"), clientSecret: field("client_secret") };
  const [id = "", ...secret] = Buffer.from(basic, "base64").toString().split(":");
  return { field, clientId: decoded(id), clientSecret: decoded(secret.join(":")) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function issueToken({ tokens, userGrants }: AuthRouteDeps, { field, ...client }: ClientForm): Promise<object> {
  switch (field("grant_type")) {
    case "client_credentials":
      return tokens.issue({ ...client, audience: field("audience"), scope: field("scope") });
    case "authorization_code":
      return userGrants.exchangeCode({
        ...client,
        code: field("code"),
        redirectUri: field("redirect_uri"),
        codeVerifier: field("code_verifier"),
      });
    case "refresh_token":
      return userGrants.refresh({ ...client, refreshToken: field("refresh_token") });
    case undefined:
      return Promise.resolve(oauthError("invalid_request", "The parameter grant_type is missing."));
    default:
      return Promise.resolve(
        oauthError(
          "unsupported_grant_type",
          "Supported grants: authorization_code, refresh_token and client_credentials.",
        ),
      );
  }
}

/** Revokes an access or refresh token. Unknown tokens are answered with 200, as RFC 7009 requires. */
async function revoke(
  { grants, bearer, userGrants }: AuthRouteDeps,
  { field, ...client }: ClientForm,
): Promise<object> {
  const token = field("token");
  if (token === undefined) return oauthError("invalid_request", "The parameter token is missing.");
  const grant = grants.grantOf(token);
  const claims = grant ? undefined : await bearer.claimsOf(token);
  const owner = grant?.authorization.clientId ?? claims?.azp;
  const refused = userGrants.refuseClient(client, owner === client.clientId);
  if (refused) return refused;
  if (owner !== client.clientId) return {};
  if (grant) grants.revokeRefreshToken(token);
  else grants.revokeAccessToken(String(claims?.jti));
  return {};
}

/** Describes a token to an application that authenticates with its secret or an access token. */
async function introspect(
  { grants, bearer, userGrants }: AuthRouteDeps,
  { field, ...client }: ClientForm,
  authorization: string | undefined,
): Promise<object> {
  const token = field("token");
  if (token === undefined) return oauthError("invalid_request", "The parameter token is missing.");
  const caller = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
  const isTrusted = caller !== undefined && (await bearer.claimsOf(caller)) !== undefined;
  const refused = isTrusted ? undefined : userGrants.refuseClient(client, false);
  if (refused) return refused;
  const grant = grants.grantOf(token);
  if (grant) return { active: true, client_id: grant.authorization.clientId, sub: grant.authorization.userId };
  const claims = await bearer.claimsOf(token);
  if (!claims) return { active: false };
  const { aud, azp, exp, iat, iss, jti, sub, scp } = claims;
  return {
    active: true,
    aud,
    client_id: azp,
    exp,
    iat,
    iss,
    jti,
    ...(sub !== undefined && { sub }),
    scope: (scp as string[]).join(" "),
    token_type: "bearer",
  };
}
