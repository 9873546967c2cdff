import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Redis } from "ioredis";
import { errorCode } from "../errors.ts";
import { type KindeWebhookOptions, kindeWebhook } from "../webhook/route.ts";
import { failure } from "./failure.ts";
import { type SetPropertiesRouteOptions, setPropertiesRoute } from "./set-properties-route.ts";

/** What the HTTP side needs. */
export interface AppOptions extends KindeWebhookOptions {
  redis: Pick<Redis, "ping">;
  /** Writing properties through; absent: the route does not exist. */
  writes?: Omit<SetPropertiesRouteOptions, "maxBodyBytes" | "log">;
}

/**
 * The Hono app: `POST /webhooks/kinde`, `GET /healthz`, `GET /readyz`, and where it is set up
 * `POST /v1/users/{id}/properties`. Answers are JSON: what was asked for, or `{ "error": { "code", "message" } }` with a
 * stable code.
 */
export function createApp(options: AppOptions): Hono {
  const { keys, redis, writes, log } = options;
  const app = new Hono();

  app.route("/", kindeWebhook(options));
  if (writes !== undefined) app.route("/", setPropertiesRoute({ ...options, ...writes }));

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
    if (error instanceof HTTPException) return error.getResponse();
    log.error({ code: errorCode(error) }, "request failed");
    return context.json(failure("unexpected", "The request failed."), 500);
  });
  return app;
}
