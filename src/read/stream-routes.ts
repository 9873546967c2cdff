import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { isUserId, organizationOf } from "kindling/contract";
import type { Refuse } from "../http/body.ts";
import type { Authenticate, ReadEnv } from "./authenticate.ts";
import { organizationProblem } from "./flags-routes.ts";
import type { StreamKeys } from "./stream-keys.ts";
import type { StreamOptions, Streams } from "./streams.ts";

/** Dependencies of {@link streamRoutes}. */
export interface StreamRoutesOptions {
  streams: Streams;
  streamKeys: StreamKeys;
  authenticate: Authenticate;
  refuse: Refuse;
}

/** Name of the route for counters and the log. */
const route = "GET /v1/flags/stream";

/**
 * Creates the route `GET /v1/flags/stream`, which sends the flags of one user whenever they change, as server-sent events.
 * It takes the key of an OFREP answer, a user's token, or a service token and `?user=`, with `&organization=` if needed.
 */
export function streamRoutes({ streams, streamKeys, authenticate, refuse }: StreamRoutesOptions): Hono {
  const byToken = authenticate(route);
  const authenticateUnlessKey: MiddlewareHandler<ReadEnv> = (context, next) =>
    context.req.query("key") === undefined ? byToken(context, next) : next();

  const app = new Hono<ReadEnv>().get("/v1/flags/stream", authenticateUnlessKey, (context) => {
    const subject = subjectOf(context);
    if (subject instanceof Response) return subject;
    const refusal = streams.refusal(subject.userId);
    if (refusal !== undefined) {
      const message = "Too many streams are open (KINDLING_MAX_STREAMS, and 20 per user): try again later.";
      const status = refusal === "too_many_streams" ? 503 : 429;
      return refuse(context, { route, status, code: refusal, message, retryAfter: 10, blame: false });
    }
    const lastEventId = context.req.header("last-event-id");
    // Another server than Node's passes no connection.
    const socket = (context.env as Partial<HttpBindings>).incoming?.socket;
    const headers = {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      // nginx would hold events back.
      "X-Accel-Buffering": "no",
    };
    // Nobody would cancel the stream of a client that has gone, or that asks for the headers only.
    if (socket?.destroyed === true || context.req.method === "HEAD") return context.body(null, 200, headers);
    return context.body(streams.open({ ...subject, lastEventId, socket }), 200, headers);
  });
  return new Hono().route("/", app);

  function subjectOf(context: Context<ReadEnv>): Omit<StreamOptions, "lastEventId" | "socket"> | Response {
    const { key, user, organization } = context.req.query();
    const malformed = (message: string) =>
      refuse(context, { route, status: 400, code: "request_malformed", message, blame: false });
    if (key !== undefined) {
      const message = "The key of the stream is invalid or has expired: evaluate again.";
      return streamKeys.open(key) ?? refuse(context, { route, status: 401, code: "unauthorized", message });
    }
    const caller = context.get("caller");
    const problem = organizationProblem(organization, caller);
    if (problem !== undefined) return malformed(problem);
    if (caller.kind === "user") {
      const { userId, claims, expiresAt } = caller;
      return { userId, organization: organizationOf(claims), expiresAt, claims };
    }
    if (!isUserId(user)) return malformed("Name the user: ?user=kp_….");
    return { userId: user, organization, expiresAt: Number.POSITIVE_INFINITY };
  }
}
