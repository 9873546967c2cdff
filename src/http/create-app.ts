import { Hono } from "hono";
import type { Redis } from "ioredis";
import { errorCode, WebhookError, type WebhookErrorCode } from "../errors.ts";
import { type EventWindow, parseEvent } from "../kinde/event.ts";
import { routeEvent } from "../kinde/route-event.ts";
import type { SigningKeys } from "../kinde/signing-keys.ts";
import { verifyWebhookToken } from "../kinde/webhook-token.ts";
import { errorFields, type Log } from "../log.ts";
import type { Admissions } from "../queue/admit-events.ts";
import { limitBody } from "./limit-body.ts";

/** What the HTTP side needs. */
export interface AppOptions {
  keys: SigningKeys;
  admissions: Admissions;
  redis: Pick<Redis, "ping">;
  event: EventWindow;
  refreshOnSignIn: boolean;
  maxBodyBytes: number;
  now: () => number;
  log: Log;
}

type Status = 400 | 401 | 413 | 503;

/** Ours are 503, so that Kinde delivers again; a bad token or event never gets better. */
const statuses: Readonly<Record<WebhookErrorCode, Status>> = {
  token_malformed: 400,
  token_forged: 401,
  user_token_refused: 401,
  event_malformed: 400,
  event_too_old: 400,
  event_from_future: 400,
  keys_unavailable: 503,
};

/**
 * The Hono app: `POST /webhooks/kinde`, `GET /healthz`, `GET /readyz`. Answers are JSON: `{ "status": … }`, or
 * `{ "error": { "code", "message" } }` with a stable code.
 */
export function createApp(options: AppOptions): Hono {
  const { keys, redis, maxBodyBytes, log } = options;
  const app = new Hono();

  const limit = limitBody(maxBodyBytes, (context) =>
    context.json(failure("body_too_large", `The body exceeds ${maxBodyBytes} bytes.`), 413),
  );
  app.post("/webhooks/kinde", limit, async (context) => {
    try {
      const status = await receive(options, await context.req.text());
      return context.json({ status });
    } catch (error) {
      const refused = error instanceof WebhookError;
      const status = refused ? statuses[error.code] : 503;
      log.warn({ status, ...errorFields(error) }, "event not acknowledged");
      const body = refused
        ? failure(error.code, error.message)
        : failure("store_unavailable", "The event cannot be kept now: deliver it again.");
      return context.json(body, status);
    }
  });

  app.get("/healthz", (context) => context.json({ status: "alive" }));

  app.get("/readyz", async (context) => {
    const [redisReady, keysReady] = await Promise.all([
      redis.ping().then(
        () => true,
        () => false,
      ),
      keys.ready(),
    ]);
    const ready = redisReady && keysReady;
    return context.json(
      { status: ready ? "ready" : "not_ready", redis: redisReady, keys: keysReady },
      ready ? 200 : 503,
    );
  });

  app.notFound((context) => context.json(failure("not_found", "There is nothing here."), 404));
  app.onError((error, context) => {
    log.error({ code: errorCode(error) }, "request failed");
    return context.json(failure("unexpected", "The request failed."), 500);
  });
  return app;
}

async function receive({ keys, admissions, event: window, refreshOnSignIn, now }: AppOptions, body: string) {
  const payload = await verifyWebhookToken(body.trim(), keys);
  const event = parseEvent(payload, window, now());
  const route = routeEvent(event, { refreshOnSignIn });
  return admissions.admit({ id: event.id, type: event.type, route });
}

function failure(code: string, message: string) {
  return { error: { code, message } };
}
