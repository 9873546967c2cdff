import { Hono } from "hono";
import { WebhookError, type WebhookErrorCode } from "../errors.ts";
import { failure, limitBody } from "../http/body.ts";
import type { SigningKeys } from "../kinde/signing-keys.ts";
import { errorFields, type Log } from "../log.ts";
import type { Admissions } from "./admit.ts";
import { routeEvent } from "./route-event.ts";
import { type EventWindow, parseEvent, verifyWebhookToken } from "./verify.ts";

/** Dependencies of {@link kindeWebhook}. */
export interface KindeWebhookOptions {
  keys: SigningKeys;
  admissions: Admissions;
  event: EventWindow;
  refreshOnSignIn: boolean;
  maxBodyBytes: number;
  now: () => number;
  log: Log;
}

/** Failures on our side are 503, so that Kinde delivers again. An invalid token or event stays invalid. */
const statuses: Readonly<Record<WebhookErrorCode, 400 | 401 | 503>> = {
  token_malformed: 400,
  token_forged: 401,
  user_token_refused: 401,
  event_malformed: 400,
  event_too_old: 400,
  event_from_future: 400,
  keys_unavailable: 503,
};

/** Creates the route `POST /webhooks/kinde`. It answers 200 only after the event is stored. */
export function kindeWebhook(options: KindeWebhookOptions): Hono {
  const { maxBodyBytes, log } = options;
  return new Hono().post("/webhooks/kinde", limitBody(maxBodyBytes), async (context) => {
    try {
      const status = await receive(options, await context.req.text());
      return context.json({ status });
    } catch (error) {
      const refused = error instanceof WebhookError;
      const status = refused ? statuses[error.code] : 503;
      log.warn({ status, ...errorFields(error) }, "event not acknowledged");
      const body = refused
        ? failure(error.code, error.message)
        : failure("store_unavailable", "The event could not be stored: deliver it again.");
      return context.json(body, status);
    }
  });
}

async function receive({ keys, admissions, event: window, refreshOnSignIn, now }: KindeWebhookOptions, body: string) {
  const payload = await verifyWebhookToken(body.trim(), keys);
  const event = parseEvent(payload, window, now());
  const route = routeEvent(event, { refreshOnSignIn });
  return admissions.admit({ id: event.id, type: event.type, route });
}
