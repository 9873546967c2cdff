import { KeyObject, verify } from "node:crypto";
import { errors } from "jose";
import { WebhookError, type WebhookErrorCode } from "../errors.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** The claims of a token whose signature is right. */
export type Payload = Readonly<Record<string, unknown>>;

/**
 * Verifies the body of a webhook request: a compact JWT, signed RS256 by a key of the configured tenant. Headers that
 * name a key of their own (`jku`, `x5u`, `jwk`) are not looked at, `crit` is refused.
 *
 * Kinde's webhooks carry no `iss`, `aud`, `exp` or `iat` (its published sample), so none is looked at either: whether a
 * retry is signed anew is not documented, and an `exp` would turn away the late ones. The event's own timestamp and id
 * bound a replay.
 *
 * @returns the payload, of which only the origin is certain: any signed-in user holds a token by the same keys
 * @throws {WebhookError} `token_malformed`, `token_forged` or `keys_unavailable`
 */
export async function verifyWebhookToken(token: string, keys: SigningKeys): Promise<Payload> {
  const [, head = "", body = "", signature = ""] = compact.exec(token) ?? [];
  const header = parseObject(head);
  if (header.alg !== "RS256" || header.crit !== undefined) throw forged();
  const key = await keyOf(header, keys);
  // RFC 7515, 5.2. In this thread and not by WebCrypto, whose way through the thread pool costs more than the 20 µs that
  // a verification takes.
  const signed = Buffer.from(token.slice(0, head.length + 1 + body.length));
  if (!verify("sha256", signed, key, Buffer.from(signature, "base64url"))) throw forged();
  return parseObject(body);
}

/** Three base64url segments. */
const compact = /^([\w-]+)\.([\w-]*)\.([\w-]*)$/;
const decoder = new TextDecoder("utf-8", { fatal: true });

function parseObject(segment: string): Payload {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(Buffer.from(segment, "base64url")));
  } catch (cause) {
    throw refused("token_malformed", "The body is not a JWT with JSON in it.", cause);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Payload;
  throw refused("token_malformed", "The token holds no JSON object.");
}

async function keyOf(header: Payload, keys: SigningKeys): Promise<KeyObject> {
  try {
    return KeyObject.from(await keys.get(header));
  } catch (error) {
    if (error instanceof WebhookError) throw error;
    if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
      throw forged(error);
    // What is left is a key of the set that cannot be used: not the token's fault.
    throw refused("keys_unavailable", "The Kinde domain's key for this token cannot be used.", error);
  }
}

function forged(cause?: unknown): WebhookError {
  return refused("token_forged", "The token is not signed RS256 by a key of the Kinde domain.", cause);
}

function refused(code: WebhookErrorCode, message: string, cause?: unknown): WebhookError {
  return new WebhookError(code, message, cause === undefined ? undefined : { cause });
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
