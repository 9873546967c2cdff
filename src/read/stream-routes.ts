import { type Context, Hono, type MiddlewareHandler } from "hono";
import { isUserId } from "kindling/contract";
import { failure } from "../http/body.ts";
import type { ReadEnv } from "./authenticate.ts";
import type { StreamKeys } from "./stream-keys.ts";
import type { Streams } from "./streams.ts";

/** Dependencies of {@link streamRoutes}. */
export interface StreamRoutesOptions {
  streams: Streams;
  streamKeys: StreamKeys;
  /** Sets the caller. */
  authenticate: MiddlewareHandler<ReadEnv>;
}

/**
 * Creates the route `GET /v1/flags/stream`, which sends the flags of one user whenever they change, as server-sent events.
 * It takes the key of an OFREP answer, a user's token, or a service token and `?user=`.
 */
export function streamRoutes({ streams, streamKeys, authenticate }: StreamRoutesOptions): Hono {
  const authenticateUnlessKey: MiddlewareHandler<ReadEnv> = (context, next) =>
    context.req.query("key") === undefined ? authenticate(context, next) : next();

  const app = new Hono<ReadEnv>().get("/v1/flags/stream", authenticateUnlessKey, (context) => {
    const subject = subjectOf(context);
    if (subject instanceof Response) return subject;
    const { userId, expiresAt } = subject;
    const refusal = streams.refusal(userId);
    if (refusal !== undefined) {
      const message = "Too many streams are open (KINDLING_MAX_STREAMS, and 20 per user): try again later.";
      const status = refusal === "too_many_streams" ? 503 : 429;
      return context.json(failure(refusal, message), status, { "Retry-After": "10" });
    }
    const lastEventId = context.req.header("last-event-id");
    return context.body(streams.open({ userId, expiresAt, lastEventId }), 200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      // nginx would hold events back.
      "X-Accel-Buffering": "no",
    });
  });
  return new Hono().route("/", app);

  function subjectOf(context: Context<ReadEnv>): { userId: string; expiresAt: number } | Response {
    const { key, user } = context.req.query();
    if (key !== undefined) {
      return (
        streamKeys.open(key) ??
        context.json(failure("unauthorized", "The key of the stream is invalid or has expired: evaluate again."), 401)
      );
    }
    const caller = context.get("caller");
    if (caller.kind === "user") return caller;
    if (isUserId(user)) return { userId: user, expiresAt: Number.POSITIVE_INFINITY };
    return context.json(failure("request_malformed", "Name the user: ?user=kp_…."), 400);
  }
}
