import { Hono } from "hono";
import { WebhookError, type WebhookErrorCode } from "../errors.ts";
import { limitBody, type Refusal, type Refuse } from "../http/body.ts";
import type { SigningKeys } from "../kinde/signing-keys.ts";
import { inSpan } from "../trace.ts";
import type { Admissions } from "./admit.ts";
import { routeEvent } from "./route-event.ts";
import { type EventRules, parseEvent, verifyWebhookToken } from "./verify.ts";

/** Dependencies of {@link kindeWebhook}. */
export interface KindeWebhookOptions {
  keys: SigningKeys;
  admissions: Admissions;
  event: EventRules;
  refreshOnSignIn: boolean;
  maxBodyBytes: number;
  now: () => number;
  refuse: Refuse;
}

/** Failures on our side are 503, so that Kinde delivers again. An invalid token or event stays invalid. */
const statuses: Readonly<Record<WebhookErrorCode, 400 | 401 | 503>> = {
  token_malformed: 400,
  token_forged: 401,
  issuer_refused: 401,
  user_token_refused: 401,
  event_malformed: 400,
  event_too_old: 400,
  event_from_future: 400,
  key_unknown: 503,
  keys_unavailable: 503,
};

const route = "POST /webhooks/kinde";

/** Creates the route `POST /webhooks/kinde`. It answers 200 only after the event is stored. */
export function kindeWebhook(options: KindeWebhookOptions): Hono {
  const { maxBodyBytes, refuse } = options;
  return new Hono().post("/webhooks/kinde", limitBody(maxBodyBytes, { route, refuse }), async (context) => {
    try {
      const status = await receive(options, await context.req.text());
      return context.json({ status });
    } catch (error) {
      return refuse(context, refusalOf(error));
    }
  });
}

function refusalOf(error: unknown): Refusal {
  if (!(error instanceof WebhookError)) {
    const message = "The event could not be stored: deliver it again.";
    return { route, status: 503, code: "store_unavailable", message, cause: error };
  }
  const { code, message } = error;
  // A made-up key id costs nobody a fetch within the cooldown, but its sender is to blame.
  return { route, status: statuses[code], code, message, blame: code !== "keys_unavailable" };
}

async function receive({ keys, admissions, event: rules, refreshOnSignIn, now }: KindeWebhookOptions, body: string) {
  const payload = await verifyWebhookToken(body.trim(), keys);
  const event = parseEvent(payload, rules, now());
  const route = routeEvent(event, { refreshOnSignIn });
  const attributes = { "kindling.event.id": event.id, "kindling.event.type": event.type };
  return inSpan("admit event", { attributes }, () => admissions.admit({ id: event.id, type: event.type, route }));
}
