/**
 * Hono 4.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Definitions } from "../definitions/define-flags.ts";
import { perRequest } from "../request/create-request-reader.ts";
import { findRefusal, type GuardOptions, type Requirement } from "../request/guard.ts";
import type { ForRequest, RequestReader, Token } from "../request/types.ts";
import { bearerToken } from "./request-reads.ts";

export type { GuardOptions, Requirement } from "../request/guard.ts";
export type { ForRequest } from "../request/types.ts";

/** The context variables that {@link kindlingHono} sets. */
export interface KindlingEnv<V extends Record<string, unknown>> {
  Variables: { kindling: ForRequest<Definitions<V>> };
}

/** Options for {@link kindlingHono}. */
export interface KindlingHonoOptions<V extends Record<string, unknown>> {
  /** What `createKindling` returned, created with `verify`. */
  kindling: RequestReader<V>;
  /** Returns the caller's access token. Default: the one of `Authorization: Bearer`. */
  token?: (context: Parameters<MiddlewareHandler>[0]) => Token | Promise<Token>;
}

/** Middleware that sets `c.var.kindling`, and guards for routes. */
export interface KindlingHono<V extends Record<string, unknown>> extends MiddlewareHandler<KindlingEnv<V>> {
  /** Creates middleware that lets only users through who meet the requirement. Throws an `HTTPException` otherwise. */
  require(requirement: Requirement<V>, options?: GuardOptions): MiddlewareHandler<KindlingEnv<V>>;
}

/**
 * Creates middleware that sets `c.var.kindling`. Hono infers its type.
 *
 * @example
 * ```ts
 * import { Hono } from "hono";
 * import { kindlingHono } from "kindling/hono";
 * import { kindling } from "./kindling.js";
 *
 * const flags = kindlingHono({ kindling });
 * const app = new Hono()
 *   .use(flags)
 *   .get("/", async (c) => c.json((await c.var.kindling()).flags))
 *   .get("/admin", flags.require("admin"), (c) => c.text("Hello, admin"));
 * ```
 */
export function kindlingHono<V extends Record<string, unknown>>({
  kindling,
  token = (context) => bearerToken(context.req.header("authorization")),
}: KindlingHonoOptions<V>): KindlingHono<V> {
  const middleware: MiddlewareHandler<KindlingEnv<V>> = async (context, next) => {
    context.set("kindling", perRequest(kindling, { token: () => token(context) }));
    await next();
  };
  return Object.assign(middleware, {
    require(requirement: Requirement<V>, options?: GuardOptions): MiddlewareHandler<KindlingEnv<V>> {
      return async (context, next) => {
        const refusal = findRefusal(await context.var.kindling(), requirement, options);
        if (refusal === undefined) return next();
        if (refusal.status === 303) return context.redirect(refusal.location, refusal.status);
        throw new HTTPException(refusal.status, { message: refusal.message });
      };
    },
  });
}
