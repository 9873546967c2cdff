import { type Context, Hono } from "hono";
import { KindlingError } from "kindling";
import { z } from "zod";
import { KindeError, ThrottledError } from "../errors.ts";
import { failure } from "../http/failure.ts";
import { limitBody } from "../http/limit-body.ts";
import { type LimitRateOptions, limitRate } from "../http/limit-rate.ts";
import { requireToken } from "../http/require-token.ts";
import { userId } from "../kinde/ids.ts";
import { errorFields, type Log } from "../log.ts";
import { propertyValues } from "./property-values.ts";
import type { SetProperties } from "./set-properties.ts";

/** What the write-through route needs. */
export interface SetPropertiesRouteOptions {
  setProperties: SetProperties;
  /** What callers must carry. */
  token: string;
  rate: LimitRateOptions;
  maxBodyBytes: number;
  /** Aborted when requests in hand must end. */
  signal: AbortSignal;
  log: Log;
}

/** 502: somebody must change something at Kinde. 503: the same request once more may do. */
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

const requestSchema = z.strictObject({
  properties: propertyValues,
  refreshClaims: z.boolean("must be true or false").optional(),
});

/**
 * `POST /v1/users/{id}/properties` with `{ "properties": { key: value }, "refreshClaims"?: boolean }`. 200 with
 * `{ flags, ticket, fetchedAt }` once every reader sees the values.
 */
export function setPropertiesRoute(options: SetPropertiesRouteOptions): Hono {
  const guards = [requireToken(options.token), limitRate(options.rate), limitBody(options.maxBodyBytes)] as const;
  return new Hono().post("/v1/users/:id/properties", ...guards, async (context) => {
    const id = userId.safeParse(context.req.param("id"));
    if (!id.success) return malformed(context, "The path must hold a user id: kp_ and letters or digits.");
    const request = requestSchema.safeParse(await context.req.json().catch(() => undefined));
    if (!request.success) return malformed(context, describe(request.error));
    const { properties, refreshClaims = false } = request.data;
    try {
      const call = { priority: "webhook", signal: options.signal, refreshClaims } as const;
      const { flags, ticket, fetchedAt } = await options.setProperties(id.data, properties, call);
      return context.json({ flags, ticket, fetchedAt });
    } catch (error) {
      if (options.signal.aborted && !(error instanceof KindlingError)) {
        return context.json(failure("shutting_down", "This process ends: send it again, to another."), 503);
      }
      return refused(context, error, options.log);
    }
  });
}

function malformed(context: Context, message: string) {
  return context.json(failure("request_malformed", message), 400);
}

// Paths and rules only: a value may be personal.
function describe({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join(".") || "The body"}: ${message}`).join("; ");
}

function refused(context: Context, error: unknown, log: Log) {
  const status = statuses[error instanceof KindlingError ? error.code : ""] ?? 503;
  log.warn({ status, ...errorFields(error) }, "properties not set");
  if (!(error instanceof KindlingError)) {
    return context.json(failure("store_unavailable", "Redis does not answer: try again."), 503);
  }
  // Kinde's own words may quote what was sent: they are for the caller, who sent it, and not for the log.
  const reason = error instanceof KindeError && error.reason !== undefined ? ` ${error.reason}` : "";
  const wait = error instanceof ThrottledError ? Math.ceil(error.retryAfterMs / 1000) : 1;
  const headers = status === 503 ? { "Retry-After": String(wait) } : undefined;
  return context.json(failure(error.code, error.message + reason), status, headers);
}
