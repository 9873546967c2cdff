import { compactVerify, errors } from "jose";
import { z } from "zod";
import { WebhookError } from "../errors.ts";
import type { SigningKeys } from "../kinde/signing-keys.ts";

/** The claims of a token with a valid signature. */
export type Payload = Readonly<Record<string, unknown>>;

/**
 * Verifies the body of a webhook request: a compact JWT, signed with RS256 by a key of the configured tenant. Ignores
 * headers that name a key (`jku`, `x5u`, `jwk`) and rejects `crit`.
 *
 * Checks no `exp`: it could reject late retries, because Kinde does not document whether it signs a retry again. The
 * event's timestamp and id limit replays.
 *
 * @returns the payload, which is not necessarily an event: the same keys sign the tokens of every signed-in user
 * @throws {WebhookError} `token_malformed`, `token_forged`, `key_unknown` or `keys_unavailable`
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
    return new WebhookError("token_forged", "The token is not signed with RS256 by a key of the Kinde domain.", {
      cause,
    });
  }
  // The remaining errors come from an unusable key in the key set, not from the token.
  return new WebhookError(
    "keys_unavailable",
    "The signing key for this token in the key set of the Kinde domain is unusable.",
    { cause },
  );
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function parsePayload(bytes: Uint8Array): Payload {
  let payload: unknown;
  try {
    payload = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new WebhookError("token_malformed", "The payload of the token is not JSON.", { cause });
  }
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return payload as Payload;
  throw new WebhookError("token_malformed", "The payload of the token is not a JSON object.");
}

/** Claims that only ID and access tokens have. */
const userClaims = ["sub", "scp", "azp", "at_hash", "nonce", "feature_flags", "org_code", "org_codes"] as const;

/** Registered claims of a JWT (RFC 7519, section 4.1), without `sub`: Kinde's webhooks carry none of them so far. */
const registeredClaims = z.object({
  iss: z.string().optional(),
  aud: z.unknown().optional(),
  exp: z.unknown().optional(),
  nbf: z.unknown().optional(),
  iat: z.unknown().optional(),
  jti: z.unknown().optional(),
});

// Strict: the same keys sign other tokens, whose claims we cannot all name.
const envelope = registeredClaims
  .extend({
    type: z.string().regex(/^[a-z0-9_.]{1,100}$/),
    event_id: z.string().regex(/^event_[0-9A-Za-z]{1,64}$/),
    timestamp: z.iso.datetime({ offset: true }),
    event_timestamp: z.unknown().optional(),
    source: z.unknown().optional(),
    data: z.record(z.string(), z.unknown()),
  })
  .strict();

/** An event from Kinde. Its envelope is validated; `data` depends on the type and is not. */
export interface KindeEvent {
  type: string;
  /** The signed id, which is the same in every delivery. */
  id: string;
  /** Milliseconds since the epoch. */
  timestamp: number;
  data: Readonly<Record<string, unknown>>;
}

/** Which events are accepted. */
export interface EventRules {
  /** How old, or how far ahead of our clock, an event can be. Milliseconds. */
  maxAgeMs: number;
  maxSkewMs: number;
  /** Origins accepted as the issuer, where an event names one. */
  issuers: readonly string[];
}

/**
 * Parses an event from a verified payload.
 *
 * @throws {WebhookError} `user_token_refused`, `issuer_refused`, `event_malformed`, `event_too_old` or
 *   `event_from_future`
 */
export function parseEvent(
  payload: Readonly<Record<string, unknown>>,
  { maxAgeMs, maxSkewMs, issuers }: EventRules,
  now: number,
): KindeEvent {
  if (userClaims.some((claim) => claim in payload)) {
    throw new WebhookError("user_token_refused", "The token is an ID or access token, not a webhook event.");
  }
  const { data: fields, error } = envelope.safeParse(payload);
  if (fields === undefined) throw malformed(error);
  if (fields.iss !== undefined && !issuers.includes(fields.iss.replace(/\/$/, ""))) {
    throw new WebhookError(
      "issuer_refused",
      `The token names another issuer than ${issuers.join(" or ")}: behind a custom domain, set KINDE_ISSUER_URL.`,
    );
  }
  const timestamp = Date.parse(fields.timestamp);
  if (now - timestamp > maxAgeMs) {
    throw new WebhookError("event_too_old", `The event is older than ${maxAgeMs} ms (KINDLING_EVENT_MAX_AGE).`);
  }
  if (timestamp - now > maxSkewMs) {
    throw new WebhookError("event_from_future", `The event is more than ${maxSkewMs} ms ahead of our clock.`);
  }
  return { type: fields.type, id: fields.event_id, timestamp, data: fields.data };
}

/** Creates the error for a payload that is not an event, or lacks a field that its type requires. */
export function malformed(error: z.ZodError): WebhookError {
  // Names paths only: values can be personal data.
  const paths = error.issues.map((issue) => [...issue.path, ...unknownKeys(issue)].join(".")).join(", ");
  return new WebhookError("event_malformed", `The payload is not a valid event: check ${paths || "its top level"}.`);
}

function unknownKeys(issue: z.core.$ZodIssue): string[] {
  // The name of a member can be anything too.
  return issue.code === "unrecognized_keys" ? issue.keys.filter((key) => /^\w{1,40}$/.test(key)).slice(0, 3) : [];
}
