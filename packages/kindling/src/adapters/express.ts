/**
 * Express 4 and 5.
 *
 * @module
 */
import { findRefusal, type GuardOptions, type Requirement } from "../request/guard.ts";
import type { RequestReader, Token } from "../request/types.ts";
import { bearerToken, createReads } from "./request-reads.ts";

export type { GuardOptions, Requirement } from "../request/guard.ts";
export type { ForRequest } from "../request/types.ts";

/** The part of Express' `Request` that the middleware needs. */
export interface ExpressRequest {
  readonly headers: { readonly authorization?: string | undefined };
}

/** The part of Express' `Response` that the guards need. */
export interface ExpressResponse {
  redirect(status: number, url: string): void;
}

/** Express middleware. */
export type ExpressMiddleware<Req> = (request: Req, response: ExpressResponse, next: (error?: unknown) => void) => void;

/**
 * Options for {@link kindlingExpress}.
 *
 * @typeParam Req Express' `Request`
 */
export interface KindlingExpressOptions<V extends Record<string, unknown>, Req extends ExpressRequest> {
  /** What `createKindling` returned, created with `verify`. */
  kindling: RequestReader<V>;
  /** Returns the caller's access token. Default: the one of `Authorization: Bearer`. */
  token?: (request: Req) => Token | Promise<Token>;
}

/** Middleware that sets `req.kindling`, and guards for routes. */
export interface KindlingExpress<V extends Record<string, unknown>, Req extends ExpressRequest>
  extends ExpressMiddleware<Req> {
  /**
   * Creates middleware that lets only users through who meet the requirement. Others are redirected, or `next` gets an
   * error whose `status` is 401, 403 or 503, which Express answers with.
   */
  require(requirement: Requirement<V>, options?: GuardOptions): ExpressMiddleware<Req>;
}

/**
 * Creates middleware that sets `req.kindling`.
 *
 * @example
 * ```ts
 * import express from "express";
 * import { type ForRequest, kindlingExpress } from "kindling/express";
 * import { kindling } from "./kindling.js";
 * import type definitions from "./kindling.flags.js";
 *
 * declare global {
 *   namespace Express {
 *     interface Request {
 *       kindling: ForRequest<typeof definitions>;
 *     }
 *   }
 * }
 *
 * const flags = kindlingExpress({ kindling });
 * const app = express().use(flags);
 * app.get("/", async (req, res) => res.json((await req.kindling()).flags));
 * app.get("/admin", flags.require("admin"), (_req, res) => res.send("Hello, admin"));
 * ```
 */
export function kindlingExpress<V extends Record<string, unknown>, Req extends ExpressRequest = ExpressRequest>({
  kindling,
  token = (request) => bearerToken(request.headers.authorization),
}: KindlingExpressOptions<V, Req>): KindlingExpress<V, Req> {
  const readOf = createReads(kindling, token);
  const middleware: ExpressMiddleware<Req> = (request, _response, next) => {
    Object.assign(request, { kindling: readOf(request) });
    next();
  };
  return Object.assign(middleware, {
    require(requirement: Requirement<V>, options?: GuardOptions): ExpressMiddleware<Req> {
      return async (request, response, next) => {
        let error: unknown;
        try {
          const refusal = findRefusal(await readOf(request)(), requirement, options);
          // Throws if something else has answered meanwhile, such as a timeout.
          if (refusal?.status === 303) return response.redirect(refusal.status, refusal.location);
          error = refusal && Object.assign(new Error(refusal.message), { status: refusal.status });
        } catch (thrown) {
          error = thrown;
        }
        next(error);
      };
    },
  });
}
