import { KindlingError } from "kindling";
import * as oidc from "openid-client";
import { UserTokenError } from "../errors.ts";
import type { UserTokens } from "../kinde/user-tokens.ts";
import type { Operator } from "./sessions.ts";

/** Why a user of Kinde is not signed in. */
export class SignInError extends KindlingError<"sign_in_failed" | "permission_missing" | "kinde_unavailable"> {}

/** What the browser keeps while the user is at Kinde. */
export interface PendingSignIn {
  state: string;
  nonce: string;
  verifier: string;
}

/** Signs operators in with Kinde: OpenID Connect's authorization code flow with PKCE. */
export interface KindeSignIn {
  /**
   * Returns the URL to send the browser to.
   *
   * @throws {SignInError} `kinde_unavailable` if Kinde does not answer
   */
  begin(callback: string): Promise<{ url: URL; pending: PendingSignIn }>;
  /**
   * Finishes at the callback, whose query Kinde has filled.
   *
   * @throws {SignInError} if Kinde refuses, or the user has neither permission
   */
  finish(callback: URL, pending: PendingSignIn): Promise<Operator>;
}

/** Options for {@link createKindeSignIn}. */
export interface KindeSignInOptions {
  /** Origin of the tenant. */
  domain: string;
  application: { clientId: string; clientSecret: string };
  /** Verifies access tokens of the application. */
  userTokens: Pick<UserTokens, "verify">;
  timeoutMs: number;
}

export const operatePermission = "kindling:operate";
export const viewPermission = "kindling:view";

/** Creates the sign-in with Kinde. */
export function createKindeSignIn(options: KindeSignInOptions): KindeSignIn {
  const { domain, application, userTokens, timeoutMs } = options;
  let discovered: Promise<oidc.Configuration> | undefined;
  const discover = () => {
    discovered ??= oidc
      .discovery(new URL(domain), application.clientId, undefined, oidc.ClientSecretPost(application.clientSecret), {
        timeout: Math.ceil(timeoutMs / 1000),
        // Settings allow plain http for loopback only.
        execute: domain.startsWith("http:") ? [oidc.allowInsecureRequests] : [],
      })
      .catch((cause: unknown) => {
        discovered = undefined;
        throw new SignInError("kinde_unavailable", "Kinde does not answer: try again.", { cause });
      });
    return discovered;
  };

  return {
    async begin(callback) {
      const configuration = await discover();
      const pending = { state: oidc.randomState(), nonce: oidc.randomNonce(), verifier: oidc.randomPKCECodeVerifier() };
      const url = oidc.buildAuthorizationUrl(configuration, {
        redirect_uri: callback,
        scope: "openid",
        state: pending.state,
        nonce: pending.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(pending.verifier),
        code_challenge_method: "S256",
      });
      return { url, pending };
    },

    async finish(callback, { state, nonce, verifier }) {
      const configuration = await discover();
      const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier };
      try {
        const tokens = await oidc.authorizationCodeGrant(configuration, callback, checks);
        const { userId, claims } = await userTokens.verify(tokens.access_token);
        return { name: userId, role: roleOf(claims.permissions, userId) };
      } catch (cause) {
        if (cause instanceof SignInError) throw cause;
        if (cause instanceof UserTokenError && cause.code === "keys_unavailable") {
          throw new SignInError("kinde_unavailable", "Kinde does not answer: try again.", { cause });
        }
        throw new SignInError("sign_in_failed", "Kinde did not sign you in: try again.", { cause });
      }
    },
  };
}

function roleOf(permissions: unknown, userId: string): Operator["role"] {
  const held: readonly unknown[] = Array.isArray(permissions) ? permissions : [];
  if (held.includes(operatePermission)) return "operate";
  if (held.includes(viewPermission)) return "view";
  const message = `Your account (${userId}) has neither the permission ${operatePermission} nor ${viewPermission}: ask for one in Kinde.`;
  throw new SignInError("permission_missing", message);
}
