import { z } from "zod";
import { WebhookError } from "../errors.ts";
import { isUserToken, userTokenRefused } from "./verify.ts";

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
