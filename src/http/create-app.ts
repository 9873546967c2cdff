import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { errorCode } from "../errors.ts";
import type { Log } from "../log.ts";
import { failure } from "./body.ts";

/** Options for {@link createApp}. */
export interface AppOptions {
  /** Apps to mount at the root. */
  routes: readonly Hono[];
  /** Returns the state of each part for `GET /readyz`, which reports ready once every part is. */
  readiness: () => Promise<Readonly<Record<string, boolean>>>;
  log: Pick<Log, "error">;
}

/**
 * Creates the Hono app: the routes, `GET /healthz` and `GET /readyz`. Every answer is JSON; errors have the form
 * `{ "error": { "code", "message" } }` with a stable code.
 */
export function createApp({ routes, readiness, log }: AppOptions): Hono {
  const app = new Hono();
  for (const route of routes) app.route("/", route);

  app.get("/healthz", (context) => context.json({ status: "alive" }));

  app.get("/readyz", async (context) => {
    const parts = await readiness();
    const ready = Object.values(parts).every(Boolean);
    return context.json({ status: ready ? "ready" : "not_ready", ...parts }, ready ? 200 : 503);
  });

  app.notFound((context) => context.json(failure("not_found", "No such route."), 404));
  app.onError((error, context) => {
    if (error instanceof HTTPException) return error.getResponse();
    log.error({ code: errorCode(error) }, "request failed");
    return context.json(failure("unexpected", "The request failed: see the server log."), 500);
  });
  return app;
}
