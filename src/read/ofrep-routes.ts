import { type Context, Hono } from "hono";
import type { ReadResult } from "kindling";
import { isUserId } from "kindling/contract";
import { z } from "zod";
import { limitBody, type Refuse } from "../http/body.ts";
import { organizationCode } from "../kinde/ids.ts";
import { sendTagged } from "./answer.ts";
import type { Authenticate, Caller, ReadEnv } from "./authenticate.ts";
import { type FlagsReader, notTheirs, readOptions } from "./flags-routes.ts";
import type { StreamKeys } from "./stream-keys.ts";

/** Dependencies of {@link ofrepRoutes}. */
export interface OfrepRoutesOptions {
  reader: FlagsReader;
  authenticate: Authenticate;
  refuse: Refuse;
  maxBodyBytes: number;
  /** Returns the path and query of a stream; absent if there are no streams. */
  streamPath: StreamKeys["pathOf"] | undefined;
}

/** Names of the routes for counters and the log. */
const routes = { all: "POST /ofrep/v1/evaluate/flags", one: "POST /ofrep/v1/evaluate/flags/{key}" } as const;

type Result = ReadResult<Record<string, unknown>>;

/** Body of an evaluation. Members that Kindling does not use are ignored, as an SDK sends its whole context. */
export const evaluationSchema = z.looseObject({
  context: z.looseObject({ targetingKey: z.string().optional(), organization: z.unknown().optional() }).optional(),
});

/**
 * Creates the routes of the OpenFeature Remote Evaluation Protocol, with which the SDKs of every language read flags.
 *
 * A flag without a usable value has an error code, so that the SDK returns the caller's default. A deny value has none,
 * because it must win.
 *
 * @see https://github.com/open-feature/protocol
 */
export function ofrepRoutes(options: OfrepRoutesOptions): Hono {
  const { reader, authenticate, refuse, maxBodyBytes, streamPath } = options;
  const guards = (route: string) => [authenticate(route), limitBody(maxBodyBytes, { route, refuse })] as const;

  const evaluate = async (
    context: Context<ReadEnv>,
    route: string,
    answer: (result: Result, userId: string) => Response,
  ) => {
    const caller = context.get("caller");
    const key = context.req.param("key");
    const fail = (errorCode: string, errorDetails: string) =>
      context.json({ ...(key !== undefined && { key }), errorCode, errorDetails }, 400);
    const body = await context.req.json().catch(() => undefined);
    if (body === undefined) return fail("PARSE_ERROR", "The body is not JSON.");
    const request = evaluationSchema.safeParse(body);
    if (!request.success) return fail("INVALID_CONTEXT", "The context must be an object with a targetingKey.");
    const userId = request.data.context?.targetingKey ?? ownId(caller);
    if (userId === undefined) return fail("TARGETING_KEY_MISSING", "Set the targetingKey to the Kinde user id.");
    if (caller.kind === "user" && userId !== caller.userId) return refuse(context, notTheirs(route));
    if (!isUserId(userId)) return fail("INVALID_CONTEXT", "The targetingKey is not a Kinde user id, kp_….");
    const wanted = readOptions(context, caller);
    if (typeof wanted === "string") return fail("GENERAL", wanted);
    // A user's token names the organization itself.
    const organization = organizationCode.safeParse(request.data.context?.organization).data;
    const named = caller.kind === "service" && organization !== undefined ? { ...wanted, organization } : wanted;
    return answer(await reader.get(userId, named), userId);
  };

  const app = new Hono<ReadEnv>()
    .post("/ofrep/v1/evaluate/flags", ...guards(routes.all), (context) =>
      evaluate(context, routes.all, (result, userId) => {
        const flags = Object.keys(result.flags).map((key) => evaluation(key, result));
        const subject = { userId, organization: result.organization ?? undefined };
        const requestUri = streamPath?.(subject);
        const eventStreams = requestUri === undefined ? [] : [{ type: "sse", endpoint: { requestUri } }];
        // Part of the tag: a 304 would leave a client with the key of another user, or one that has expired.
        return sendTagged(context, result, { flags, metadata: metadataOf(result), eventStreams }, requestUri);
      }),
    )
    .post("/ofrep/v1/evaluate/flags/:key", ...guards(routes.one), (context) =>
      evaluate(context, routes.one, (result) => {
        const key = context.req.param("key");
        if (!Object.hasOwn(result.flags, key)) {
          return context.json({ key, errorCode: "FLAG_NOT_FOUND", errorDetails: `No flag is called ${key}.` }, 404);
        }
        const body = evaluation(key, result);
        return "errorCode" in body ? context.json(body, 500) : sendTagged(context, result, body);
      }),
    );
  return new Hono().route("/", app);
}

function ownId(caller: Caller): string | undefined {
  return caller.kind === "user" ? caller.userId : undefined;
}

function evaluation(key: string, result: Result) {
  const denied = result.denied.includes(key);
  const metadata = { ...metadataOf(result), denied };
  if (result.status === "unavailable" && !denied) {
    return { key, errorCode: "GENERAL", errorDetails: "Redis does not answer.", metadata };
  }
  const value = result.flags[key];
  // The protocol knows no null: without a value, the SDK returns the caller's default.
  return { key, ...(value !== null && { value }), reason: reasonOf(result, denied), metadata };
}

/** @see https://openfeature.dev/specification/types/#resolution-reason */
function reasonOf({ status, source }: Result, denied: boolean): string {
  if (denied) return status === "present" ? "STALE" : "DEFAULT";
  return source === "defaults" || status === "deleted" ? "DEFAULT" : "TARGETING_MATCH";
}

function metadataOf({ status, source, age }: Result) {
  return { status, source, ...(age !== null && { ageMs: age }) };
}
