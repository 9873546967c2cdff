import { createHash } from "node:crypto";
import type { World } from "../kinde/world.ts";
import { type Applications, sameSecret } from "./applications.ts";
import type { Grant, Grants } from "./grants.ts";
import { type OAuthError, oauthError } from "./oauth-error.ts";
import type { UserTokens } from "./user-tokens.ts";

export interface UserGrantDeps {
  world: World;
  applications: Applications;
  grants: Grants;
  userTokens: UserTokens;
  now: () => number;
}

export interface ClientCredentials {
  clientId: string | undefined;
  clientSecret: string | undefined;
}

export type CodeExchange = ClientCredentials & {
  code: string | undefined;
  redirectUri: string | undefined;
  codeVerifier: string | undefined;
};

export type RefreshRequest = ClientCredentials & { refreshToken: string | undefined };

/** The tokens of a signed-in user. */
export interface UserTokenSet {
  access_token: string;
  /** Seconds until the access token expires. */
  expires_in: number;
  id_token?: string;
  refresh_token?: string;
  scope: string;
  token_type: "bearer";
}

/** The authorization code and refresh token grants. */
export function createUserGrants({ world, applications, grants, userTokens, now }: UserGrantDeps) {
  const tokensOf = async (grant: Grant): Promise<UserTokenSet | OAuthError> => {
    const { authorization } = grant;
    const { userId, clientId, scopes } = authorization;
    const user = world.users.get(userId);
    if (!user || user.isSuspended) return oauthError("invalid_grant", "The user was deleted or suspended.");
    const seconds = Math.floor(now() / 1000);
    if (!grant.accessToken || grant.accessToken.expires <= seconds)
      grant.accessToken = await userTokens.access(authorization);
    const { token, expires } = grant.accessToken;
    return {
      access_token: token,
      expires_in: expires - seconds,
      ...(scopes.includes("openid") && {
        id_token: await userTokens.id({ ...authorization, clientId, accessToken: token }),
      }),
      ...(scopes.some((scope) => scope.startsWith("offline")) && { refresh_token: grants.issueRefreshToken(grant) }),
      scope: scopes.join(" "),
      token_type: "bearer",
    };
  };

  /** A wrong secret is always refused. A missing one is accepted from applications that used PKCE. */
  const refuseClient = ({ clientId, clientSecret }: ClientCredentials, usesPkce: boolean): OAuthError | undefined => {
    const application = clientId === undefined ? undefined : applications.get(clientId);
    const refused = oauthError("invalid_client", "Client authentication failed.", 401);
    if (!application) return refused;
    if (clientSecret === undefined) return usesPkce ? undefined : refused;
    return sameSecret(clientSecret, application.clientSecret) ? undefined : refused;
  };

  return {
    exchangeCode: async (request: CodeExchange): Promise<UserTokenSet | OAuthError> => {
      if (request.code === undefined) return oauthError("invalid_request", "The parameter code is missing.");
      const refused = refuseClient(request, request.codeVerifier !== undefined);
      if (refused) return refused;
      const grant = grants.redeemCode(request.code);
      if (!grant) return oauthError("invalid_grant", "The code is unknown, expired or already used.");
      const { clientId, redirectUri, codeChallenge } = grant.authorization;
      if (clientId !== request.clientId) return oauthError("invalid_grant", "The code belongs to another application.");
      if (redirectUri !== request.redirectUri)
        return oauthError("invalid_grant", "redirect_uri is not the one the code was issued for.");
      if (codeChallenge === undefined && request.clientSecret === undefined)
        return oauthError("invalid_grant", "The code was issued without PKCE: the client secret is required.");
      if (codeChallenge !== undefined && challengeOf(request.codeVerifier ?? "") !== codeChallenge)
        return oauthError("invalid_grant", "code_verifier does not match the code challenge.");
      return tokensOf(grant);
    },
    refresh: async (request: RefreshRequest): Promise<UserTokenSet | OAuthError> => {
      if (request.refreshToken === undefined)
        return oauthError("invalid_request", "The parameter refresh_token is missing.");
      const grant = grants.grantOf(request.refreshToken);
      const refused = refuseClient(request, grant?.authorization.codeChallenge !== undefined);
      if (refused) return refused;
      if (!grant || grant.authorization.clientId !== request.clientId)
        return oauthError("invalid_grant", "The refresh token is unknown, expired, revoked or already used.");
      return tokensOf(grant);
    },
    refuseClient,
  };
}

export type UserGrants = ReturnType<typeof createUserGrants>;

const challengeOf = (verifier: string) => createHash("sha256").update(verifier).digest("base64url");
