import { type Context, Hono } from "hono";
import { KindlingError } from "kindling";
import { z } from "zod";
import { KindeError, ThrottledError } from "../errors.ts";
import { describeIssues, failure, limitBody, type Refuse } from "../http/body.ts";
import type { ClientAddress } from "../http/client-address.ts";
import { type LimitRateOptions, limitRate } from "../http/limit-rate.ts";
import { type CallerVariables, requireToken } from "../http/require-token.ts";
import { userId } from "../kinde/ids.ts";
import { errorFields, type Log } from "../log.ts";
import type { ApiToken } from "../setting-values.ts";
import { propertyValues } from "./property-values.ts";
import type { SetProperties } from "./set-properties.ts";

/** Dependencies of {@link setPropertiesRoute}. */
export interface SetPropertiesRouteOptions {
  setProperties: SetProperties;
  /** Callers must send one that has the scope `write`. */
  tokens: readonly ApiToken[];
  rate: Pick<LimitRateOptions, "redis" | "key" | "perMinute">;
  maxBodyBytes: number;
  clientAddress: ClientAddress;
  refuse: Refuse;
  /** Aborted when requests in progress must end. */
  signal: AbortSignal;
  log: Log;
}

/** 502: something must be changed in Kinde or in the settings. 503: the same request can succeed later. */
const statuses: Readonly<Record<string, 400 | 404 | 502 | 503>> = {
  kinde_rejected: 400,
  user_not_found: 404,
  kinde_unauthorized: 502,
  kinde_forbidden: 502,
  claims_not_refreshed: 502,
  kinde_unavailable: 503,
  throttled: 503,
  write_not_visible: 503,
};

const route = "POST /v1/users/{id}/properties";
/** Longest part of a property key in the log. Kinde limits keys too, but not to a documented length. */
const keyLogged = 100;

/** Body of the request. */
export const requestSchema = z.strictObject({
  properties: propertyValues,
  refreshClaims: z.boolean("must be true or false").optional(),
});

/**
 * Creates the route `POST /v1/users/{id}/properties`, whose body is
 * `{ "properties": { key: value }, "refreshClaims"?: boolean }`. It answers 200 with
 * `{ flags, ticket, fetchedAt, misfits }` once every reader sees the values.
 */
export function setPropertiesRoute(options: SetPropertiesRouteOptions): Hono<{ Variables: CallerVariables }> {
  const { tokens, rate, maxBodyBytes, clientAddress, refuse, log } = options;
  const guards = [
    requireToken({ tokens, scope: "write", route, clientAddress, refuse }),
    limitRate({ ...rate, route, refuse }),
    limitBody(maxBodyBytes, { route, refuse }),
  ] as const;
  const malformed = (context: Context, message: string) =>
    refuse(context, { route, status: 400, code: "request_malformed", message, blame: false });
  return new Hono<{ Variables: CallerVariables }>().post("/v1/users/:id/properties", ...guards, async (context) => {
    const id = userId.safeParse(context.req.param("id"));
    if (!id.success) return malformed(context, "The path must contain a user id: kp_ followed by letters and digits.");
    const body: unknown = await context.req.json().catch(() => undefined);
    if (body === undefined) return malformed(context, "The body is not JSON, or is compressed.");
    const request = requestSchema.safeParse(body);
    if (!request.success) return malformed(context, describeIssues(request.error));
    const { properties, refreshClaims = false } = request.data;
    try {
      const call = { priority: "webhook", signal: options.signal, refreshClaims } as const;
      const { flags, ticket, fetchedAt, misfits } = await options.setProperties(id.data, properties, call);
      const keys = Object.keys(properties).map((key) => key.slice(0, keyLogged));
      log.info({ ...context.var.caller, userId: id.data, properties: keys }, "properties set");
      const unfit = misfits.map(({ flag }) => flag);
      if (unfit.length > 0) log.warn({ userId: id.data, flags: unfit }, "written values do not fit their flags");
      return context.json({ flags, ticket, fetchedAt, misfits });
    } catch (error) {
      if (options.signal.aborted && !(error instanceof KindlingError)) {
        return context.json(failure("shutting_down", "This process is shutting down: send the request again."), 503);
      }
      return refused(context, error, log);
    }
  });
}

function refused(context: Context, error: unknown, log: Log) {
  const status = statuses[error instanceof KindlingError ? error.code : ""] ?? 503;
  log.warn({ status, ...errorFields(error) }, "properties not set");
  if (!(error instanceof KindlingError)) {
    return context.json(failure("store_unavailable", "Redis does not answer: try again later."), 503);
  }
  // Kinde's message can quote the values, so it goes to the caller, who sent them, but not to the log.
  const reason = error instanceof KindeError && error.reason !== undefined ? ` ${error.reason}` : "";
  const wait = error instanceof ThrottledError ? Math.ceil(error.retryAfterMs / 1000) : 1;
  const headers = status === 503 ? { "Retry-After": String(wait) } : undefined;
  return context.json(failure(error.code, error.message + reason), status, headers);
}
