import { errors, type JWTPayload, jwtVerify } from "jose";
import { WebhookError } from "../errors.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** What verification needs. */
export interface VerifyOptions {
  keys: SigningKeys;
  now: () => number;
  /** Clock difference forgiven, in milliseconds. */
  maxSkewMs: number;
}

/**
 * Verifies the body of a webhook request: a compact JWT, signed RS256 by a key of the configured tenant. Headers that
 * name a key of their own (`jku`, `x5u`, `jwk`) are not looked at, `crit` is refused. Kinde's webhooks carry no `iss`,
 * `aud`, `exp` or `iat` (its published sample), so none is required; an `exp` or `nbf` that is there counts.
 *
 * @returns the payload, of which only the origin is certain: any signed-in user holds a token by the same keys
 * @throws {WebhookError} `token_malformed`, `token_forged`, `event_too_old`, `event_from_future` or `keys_unavailable`
 */
export async function verifyWebhookToken(token: string, { keys, now, maxSkewMs }: VerifyOptions): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, keys.get, {
      algorithms: ["RS256"],
      currentDate: new Date(now()),
      clockTolerance: maxSkewMs / 1000,
    });
    return payload;
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(cause: unknown): WebhookError {
  if (cause instanceof WebhookError) return cause;
  if (cause instanceof errors.JWTExpired) {
    return isUserToken(cause.payload)
      ? userTokenRefused()
      : new WebhookError("event_too_old", "The token has expired.", { cause });
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    return cause.claim === "nbf" && cause.reason === "check_failed"
      ? new WebhookError("event_from_future", "The token is not valid yet.", { cause })
      : new WebhookError("token_malformed", "The token's time claims are no numbers.", { cause });
  }
  if (cause instanceof errors.JWSInvalid || cause instanceof errors.JWTInvalid) {
    return new WebhookError("token_malformed", "The body is not a JWT with a JSON payload.", { cause });
  }
  if (cause instanceof errors.JOSEError) {
    return new WebhookError("token_forged", "The token is not signed RS256 by a key of the Kinde domain.", { cause });
  }
  // What is left comes from decoding the token's own bytes (a signature of an impossible length, say).
  return new WebhookError("token_malformed", "The body is not a JWT.", { cause });
}

/** Claims that only ID and access tokens carry. */
const userClaims = ["sub", "scp", "azp", "at_hash", "nonce", "feature_flags", "org_code", "org_codes"] as const;

/** Whether a verified payload is that of a user's token. */
export function isUserToken(payload: Readonly<Record<string, unknown>>): boolean {
  return userClaims.some((claim) => claim in payload);
}

/** The error for a user's token posted as a webhook. */
export function userTokenRefused(): WebhookError {
  return new WebhookError("user_token_refused", "This is a user's or an application's token, not a webhook event.");
}
