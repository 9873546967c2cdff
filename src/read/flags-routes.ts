import { type Context, Hono, type MiddlewareHandler } from "hono";
import type { Reader, ReadOptions } from "kindling";
import { isUserId } from "kindling/contract";
import { z } from "zod";
import { failure, limitBody } from "../http/body.ts";
import { userId } from "../kinde/ids.ts";
import { sendTagged, uncached } from "./answer.ts";
import type { Caller, ReadEnv } from "./authenticate.ts";

/** The reader that routes answer from. */
export type FlagsReader = Reader<Record<string, unknown>>;

/** Dependencies of {@link flagsRoutes}. */
export interface FlagsRoutesOptions {
  reader: FlagsReader;
  /** Sets the caller. */
  authenticate: MiddlewareHandler<ReadEnv>;
  maxBodyBytes: number;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** Users in one `POST /v1/flags`. */
export const maxUsers = 500;
/** Longest wait for a refresh that a request can ask for, in milliseconds. */
export const maxWaitMs = 10_000;
/** The least `maxAge` with a user's token, in milliseconds: a user must not use up the calls to Kinde. */
export const minUserMaxAgeMs = 10_000;

/** Body of `POST /v1/flags`. */
export const manySchema = z.strictObject({
  ids: z
    .array(userId, "must be an array of user ids")
    .min(1, "must contain at least one id")
    .max(maxUsers, `must contain at most ${maxUsers} ids`),
});

/** Creates the routes that read flags as JSON, for one user and for many. */
export function flagsRoutes({ reader, authenticate, maxBodyBytes, now }: FlagsRoutesOptions): Hono {
  const send = async (context: Context<ReadEnv>, id: string) => {
    const caller = context.get("caller");
    const options = readOptions(context, caller);
    if (typeof options === "string") return malformed(context, options);
    const result = await reader.get(id, options);
    return sendTagged(context, result, result);
  };

  const app = new Hono<ReadEnv>()
    .get("/v1/flags", authenticate, (context) => {
      const caller = context.get("caller");
      if (caller.kind === "user") return send(context, caller.userId);
      return context.json(
        failure("forbidden", "A service token names the user: read /v1/users/{id}/flags, or POST /v1/flags."),
        403,
      );
    })
    .post("/v1/flags", authenticate, limitBody(maxBodyBytes), async (context) => {
      if (context.get("caller").kind === "user") return notTheirs(context);
      const request = manySchema.safeParse(await context.req.json().catch(() => undefined));
      if (!request.success) return malformed(context, describe(request.error));
      const { ids } = request.data;
      const results = await reader.getMany(ids);
      const users = Object.fromEntries(ids.map((id, index) => [id, results[index]]));
      return context.json({ users }, 200, { "Cache-Control": uncached });
    })
    .get("/v1/users/:id/flags", authenticate, (context) => {
      const id = ownOrAny(context);
      return typeof id === "string" ? send(context, id) : id;
    })
    .post("/v1/users/:id/refresh", authenticate, async (context) => {
      const id = ownOrAny(context);
      if (typeof id !== "string") return id;
      const caller = context.get("caller");
      const options = readOptions(context, caller);
      if (typeof options === "string") return malformed(context, options);
      const maxAge = caller.kind === "user" ? minUserMaxAgeMs : 0;
      const asked = now();
      const result = await reader.get(id, { ...options, maxAge });
      if (result.status === "unavailable") {
        const body = failure("store_unavailable", "Redis does not answer: try again later.");
        return context.json(body, 503, { "Retry-After": "1" });
      }
      const fresh = result.status === "deleted" || (result.fetchedAt ?? 0) >= asked - maxAge;
      return context.json(result, fresh ? 200 : 202, { "Cache-Control": uncached });
    });
  return new Hono().route("/", app);
}

/** Returns the options of a read that the query and the caller's token ask for, or what is wrong with the query. */
export function readOptions(context: Context, caller: Caller): ReadOptions | string {
  const options: ReadOptions = caller.kind === "user" ? { claims: caller.claims } : {};
  // Parsing the query costs, and most requests have none.
  if (!context.req.url.includes("?")) return options;
  const { maxAge, wait } = context.req.query();
  if (maxAge !== undefined) {
    if (!/^\d{1,12}$/.test(maxAge)) return "maxAge must be a number of milliseconds.";
    options.maxAge = caller.kind === "user" ? Math.max(Number(maxAge), minUserMaxAgeMs) : Number(maxAge);
  }
  if (wait !== undefined) {
    if (!/^\d{1,5}$/.test(wait) || Number(wait) > maxWaitMs) {
      return `wait must be a number of milliseconds, at most ${maxWaitMs}.`;
    }
    options.wait = Number(wait);
  }
  return options;
}

/** Returns the user id of the path, or the answer for a path without one and for another user's. */
function ownOrAny(context: Context<ReadEnv, "/v1/users/:id/flags" | "/v1/users/:id/refresh">): string | Response {
  const id = context.req.param("id");
  if (!isUserId(id)) return malformed(context, "The path must contain a user id: kp_ followed by letters and digits.");
  const caller = context.get("caller");
  return caller.kind === "user" && caller.userId !== id ? notTheirs(context) : id;
}

/** Answers 403: a user's token asks for somebody else. */
export function notTheirs(context: Context): Response {
  return context.json(failure("forbidden", "A user's token reads that user only."), 403);
}

function malformed(context: Context, message: string): Response {
  return context.json(failure("request_malformed", message), 400);
}

// Names paths and rules only: values can be personal data.
function describe({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join(".") || "The body"}: ${message}`).join("; ");
}
