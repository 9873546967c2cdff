import { type Context, Hono } from "hono";
import type { Reader, ReadOptions } from "kindling";
import { isUserId, organizationOf } from "kindling/contract";
import { z } from "zod";
import { describeIssues, limitBody, type Refusal, type Refuse } from "../http/body.ts";
import { organizationCode, userId } from "../kinde/ids.ts";
import { sendTagged, uncached } from "./answer.ts";
import type { Authenticate, Caller, ReadEnv } from "./authenticate.ts";

/** The reader that routes answer from. */
export type FlagsReader = Reader<Record<string, unknown>>;

/** Dependencies of {@link flagsRoutes}. */
export interface FlagsRoutesOptions {
  reader: FlagsReader;
  authenticate: Authenticate;
  refuse: Refuse;
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
  organization: organizationCode.optional(),
});

/** Names of the routes for counters and the log. */
const routes = {
  own: "GET /v1/flags",
  many: "POST /v1/flags",
  one: "GET /v1/users/{id}/flags",
  refresh: "POST /v1/users/{id}/refresh",
} as const;

/** Creates the routes that read flags as JSON, for one user and for many. */
export function flagsRoutes({ reader, authenticate, refuse, maxBodyBytes, now }: FlagsRoutesOptions): Hono {
  const malformed = (context: Context, route: string, message: string) =>
    refuse(context, { route, status: 400, code: "request_malformed", message, blame: false });

  const send = async (context: Context<ReadEnv>, route: string, id: string) => {
    const options = readOptions(context, context.get("caller"));
    if (typeof options === "string") return malformed(context, route, options);
    const result = await reader.get(id, options);
    return sendTagged(context, result, result);
  };

  /** Returns the user id of the path, or the answer for a path without one and for another user's. */
  const ownOrAny = (context: Context<ReadEnv>, route: string): string | Response => {
    const id = context.req.param("id");
    if (!isUserId(id)) {
      return malformed(context, route, "The path must contain a user id: kp_ followed by letters and digits.");
    }
    const caller = context.get("caller");
    return caller.kind === "user" && caller.userId !== id ? refuse(context, notTheirs(route)) : id;
  };

  const app = new Hono<ReadEnv>()
    .get("/v1/flags", authenticate(routes.own), (context) => {
      const caller = context.get("caller");
      if (caller.kind === "user") return send(context, routes.own, caller.userId);
      const message = "A service token names the user: read /v1/users/{id}/flags, or POST /v1/flags.";
      return refuse(context, { route: routes.own, status: 403, code: "forbidden", message, blame: false });
    })
    .post(
      "/v1/flags",
      authenticate(routes.many),
      limitBody(maxBodyBytes, { route: routes.many, refuse }),
      async (context) => {
        if (context.get("caller").kind === "user") return refuse(context, notTheirs(routes.many));
        const body: unknown = await context.req.json().catch(() => undefined);
        if (body === undefined) return malformed(context, routes.many, "The body is not JSON, or is compressed.");
        const request = manySchema.safeParse(body);
        if (!request.success) return malformed(context, routes.many, describeIssues(request.error));
        const { ids, organization } = request.data;
        const results = await reader.getMany(ids, { organization });
        const users = Object.fromEntries(ids.map((id, index) => [id, results[index]]));
        return context.json({ users }, 200, { "Cache-Control": uncached });
      },
    )
    .get("/v1/users/:id/flags", authenticate(routes.one), (context) => {
      const id = ownOrAny(context, routes.one);
      return typeof id === "string" ? send(context, routes.one, id) : id;
    })
    .post("/v1/users/:id/refresh", authenticate(routes.refresh), async (context) => {
      const id = ownOrAny(context, routes.refresh);
      if (typeof id !== "string") return id;
      const caller = context.get("caller");
      const options = readOptions(context, caller);
      if (typeof options === "string") return malformed(context, routes.refresh, options);
      const maxAge = caller.kind === "user" ? minUserMaxAgeMs : 0;
      const asked = now();
      const result = await reader.get(id, { ...options, maxAge });
      if (result.status === "unavailable") {
        const message = "Redis does not answer: try again later.";
        return refuse(context, {
          route: routes.refresh,
          status: 503,
          code: "store_unavailable",
          message,
          retryAfter: 1,
        });
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
  const { maxAge, wait, organization } = context.req.query();
  const problem = organizationProblem(organization, caller);
  if (problem !== undefined) return problem;
  if (organization !== undefined) options.organization = organization;
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

/** Returns why the caller cannot read for the organization of a query; `undefined` if it can, or names none. */
export function organizationProblem(organization: string | undefined, caller: Caller): string | undefined {
  if (organization === undefined) return undefined;
  if (caller.kind === "user") {
    if (organization === organizationOf(caller.claims)) return undefined;
    return "A user's token reads for its own organization only: leave organization out.";
  }
  return organizationCode.safeParse(organization).success ? undefined : "organization must be a code, org_….";
}

/** Returns the refusal of a user's token that asks for somebody else. */
export function notTheirs(route: string): Refusal {
  return { route, status: 403, code: "forbidden", message: "A user's token reads that user only.", blame: false };
}
