import { compactVerify, errors } from "jose";
import { z } from "zod";
import { WebhookError } from "../errors.ts";
import type { SigningKeys } from "../kinde/signing-keys.ts";

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
  const { payload, protectedHeader } = await compactVerify(token, keys.get, { algorithms: ["RS256"] }).catch(
    (error: unknown) => {
      throw refusal(error);
    },
  );
  if (protectedHeader.crit !== undefined) throw refusal(new errors.JOSENotSupported("crit"));
  return parsePayload(payload);
}

function refusal(cause: unknown): WebhookError {
  if (cause instanceof WebhookError) return cause;
  if (cause instanceof errors.JWSInvalid) {
    return new WebhookError("token_malformed", "The body is not a JWT.", { cause });
  }
  if (cause instanceof errors.JOSEError) {
    return new WebhookError("token_forged", "The token is not signed RS256 by a key of the Kinde domain.", { cause });
  }
  // What is left is a key of the set that cannot be used: not the token's fault.
  return new WebhookError("keys_unavailable", "The Kinde domain's key for this token cannot be used.", { cause });
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function parsePayload(bytes: Uint8Array): Payload {
  let payload: unknown;
  try {
    payload = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new WebhookError("token_malformed", "The token's payload is no JSON.", { cause });
  }
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return payload as Payload;
  throw new WebhookError("token_malformed", "The token's payload is no JSON object.");
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

const envelope = z.object({
  type: z.string().regex(/^[a-z0-9_.]{1,100}$/),
  event_id: z.string().regex(/^event_[0-9A-Za-z]{1,64}$/),
  timestamp: z.iso.datetime({ offset: true }),
  data: z.record(z.string(), z.unknown()),
});

/** An event that Kinde told us, its envelope checked; the payload is as the type has it. */
export interface KindeEvent {
  type: string;
  /** The signed identity: the same in every delivery. */
  id: string;
  /** Milliseconds since the epoch. */
  timestamp: number;
  data: Readonly<Record<string, unknown>>;
}

/** How old or early an event may be, in milliseconds. */
export interface EventWindow {
  maxAgeMs: number;
  maxSkewMs: number;
}

/**
 * Reads an event from a verified payload.
 *
 * @throws {WebhookError} `user_token_refused`, `event_malformed`, `event_too_old` or `event_from_future`
 */
export function parseEvent(
  payload: Readonly<Record<string, unknown>>,
  { maxAgeMs, maxSkewMs }: EventWindow,
  now: number,
): KindeEvent {
  if (isUserToken(payload)) throw userTokenRefused();
  const { data: fields, error } = envelope.safeParse(payload);
  if (fields === undefined) throw malformed(error);
  const timestamp = Date.parse(fields.timestamp);
  if (now - timestamp > maxAgeMs) {
    throw new WebhookError("event_too_old", `The event is older than ${maxAgeMs} ms (KINDLING_EVENT_MAX_AGE).`);
  }
  if (timestamp - now > maxSkewMs) {
    throw new WebhookError("event_from_future", `The event is more than ${maxSkewMs} ms ahead of our clock.`);
  }
  return { type: fields.type, id: fields.event_id, timestamp, data: fields.data };
}

/** The error for a payload that is no event, or lacks what its type must have. */
export function malformed(error: z.ZodError): WebhookError {
  // Paths only: values are Kinde's, and may be personal.
  const where = error.issues.map((issue) => issue.path.join(".")).join(", ");
  return new WebhookError("event_malformed", `The payload is not an event: see ${where || "its top level"}.`);
}
