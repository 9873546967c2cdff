import { hash } from "node:crypto";
import { errors, type JWTPayload, jwtVerify } from "jose";
import { UserTokenError, WebhookError } from "../errors.ts";
import { userId } from "./ids.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** The user of a verified access token. */
export interface TokenUser {
  userId: string;
  /** Verified claims of the token. */
  claims: JWTPayload;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/** Verifies access tokens of users. */
export interface UserTokens {
  /**
   * Verifies an access token of one of the configured applications.
   *
   * @throws {UserTokenError} if the token is not valid, or the signing keys cannot be fetched
   */
  verify(token: string): Promise<TokenUser>;
  /** Returns the user of a token that was verified recently. */
  known(token: string): TokenUser | undefined;
}

/** Options for {@link createUserTokens}. */
export interface UserTokensOptions {
  keys: Pick<SigningKeys, "get">;
  /** Origin of the tenant, which tokens name as `iss`. */
  issuer: string;
  /** Client ids of the applications whose tokens are accepted (`azp`). */
  clientIds: ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Verified tokens to remember. Default 10,000. */
  maxKnown?: number;
}

/** How long a verified token is remembered, in milliseconds: it must not outlive a withdrawn signing key by much. */
const rememberMs = 5 * 60_000;

/**
 * Claims that access tokens of users do not have: `at_hash`, `nonce` and `auth_time` mark ID tokens, `gty` tokens of
 * machines, `type` and `event_id` webhooks. One set of keys signs all of them.
 */
const foreignClaims = ["at_hash", "nonce", "auth_time", "gty", "type", "event_id"] as const;

/** Creates a verifier that remembers tokens by their hash, because verifying one costs more than the rest of a read. */
export function createUserTokens(options: UserTokensOptions): UserTokens {
  const { keys, issuer, clientIds, now, maxKnown = 10_000 } = options;
  const remembered = new Map<string, { user: TokenUser; until: number }>();

  const known = (key: string) => {
    const entry = remembered.get(key);
    if (entry === undefined || now() < entry.until) return entry?.user;
    remembered.delete(key);
    return undefined;
  };

  return {
    known: (token) => known(keyOf(token)),
    async verify(token) {
      const key = keyOf(token);
      const user = known(key) ?? (await verifyToken(token));
      if (!remembered.has(key)) {
        for (const oldest of remembered.keys()) {
          if (remembered.size < maxKnown) break;
          remembered.delete(oldest);
        }
        remembered.set(key, { user, until: Math.min(user.expiresAt, now() + rememberMs) });
      }
      return user;
    },
  };

  async function verifyToken(token: string): Promise<TokenUser> {
    const { payload } = await jwtVerify(token, keys.get, {
      algorithms: ["RS256"],
      issuer,
      requiredClaims: ["sub", "exp", "azp"],
      currentDate: new Date(now()),
    }).catch((error: unknown) => {
      throw refusal(error);
    });
    const { sub, azp, aud, exp = 0 } = payload;
    // An ID token names its application as the audience.
    const audiences = [aud ?? []].flat();
    if (foreignClaims.some((claim) => claim in payload) || audiences.some((audience) => clientIds.has(audience))) {
      throw new UserTokenError("token_refused", "The token is not a user's access token.");
    }
    if (typeof azp !== "string" || !clientIds.has(azp)) {
      throw new UserTokenError("token_refused", "The token belongs to an application that KINDLING_CLIENT_IDS lacks.");
    }
    const id = userId.safeParse(sub);
    if (!id.success) throw new UserTokenError("token_refused", "The token does not belong to a user.");
    return { userId: id.data, claims: payload, expiresAt: exp * 1000 };
  }
}

function keyOf(token: string): string {
  return hash("sha256", token, "base64");
}

function refusal(cause: unknown): UserTokenError {
  if (cause instanceof errors.JWTExpired) {
    return new UserTokenError("token_expired", "The token has expired: get a new one from Kinde.", { cause });
  }
  if (cause instanceof errors.JOSEError) {
    return new UserTokenError("token_refused", "The token is not a valid access token of the Kinde domain.", { cause });
  }
  const unreachable = cause instanceof WebhookError ? cause.message : "The signing key for this token is unusable.";
  return new UserTokenError("keys_unavailable", unreachable, { cause });
}
