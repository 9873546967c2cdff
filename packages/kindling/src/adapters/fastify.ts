/**
 * Fastify 5.
 *
 * @module
 */
import { findRefusal, type GuardOptions, type Requirement } from "../request/guard.ts";
import type { RequestReader, Token } from "../request/types.ts";
import { bearerToken, createReads } from "./request-reads.ts";

export type { GuardOptions, Requirement } from "../request/guard.ts";
export type { ForRequest } from "../request/types.ts";

/** The part of Fastify's `FastifyRequest` that the plugin needs. */
export interface FastifyRequestLike {
  readonly headers: { readonly authorization?: string | undefined };
}

/** The part of Fastify's `FastifyReply` that the guards need. */
export interface FastifyReplyLike {
  redirect(url: string, status: number): unknown;
}

/** The part of a Fastify instance that the plugin needs. */
export interface FastifyInstanceLike<Req> {
  decorateRequest(name: string): unknown;
  addHook(name: "onRequest", hook: (request: Req, reply: FastifyReplyLike, done: () => void) => void): unknown;
}

/**
 * Options for {@link kindlingFastify}.
 *
 * @typeParam Req Fastify's `FastifyRequest`
 */
export interface KindlingFastifyOptions<V extends Record<string, unknown>, Req extends FastifyRequestLike> {
  /** What `createKindling` returned, created with `verify`. */
  kindling: RequestReader<V>;
  /** Returns the caller's access token. Default: the one of `Authorization: Bearer`. */
  token?: (request: Req) => Token | Promise<Token>;
}

/** A plugin that sets `request.kindling`, and guards for routes. */
export interface KindlingFastify<V extends Record<string, unknown>, Req extends FastifyRequestLike> {
  (fastify: FastifyInstanceLike<Req>, options: unknown, done: () => void): void;
  /**
   * Creates a hook, for example `preHandler`, that lets only users through who meet the requirement. Others are
   * redirected, or the hook throws an error whose `statusCode` is 401, 403 or 503, which Fastify answers with.
   */
  require(
    requirement: Requirement<V>,
    options?: GuardOptions,
  ): (request: Req, reply: FastifyReplyLike) => Promise<unknown>;
}

/**
 * Creates a plugin that sets `request.kindling` for the whole app.
 *
 * @example
 * ```ts
 * import fastify from "fastify";
 * import { type ForRequest, kindlingFastify } from "kindling/fastify";
 * import { kindling } from "./kindling.js";
 * import type definitions from "./kindling.flags.js";
 *
 * declare module "fastify" {
 *   interface FastifyRequest {
 *     kindling: ForRequest<typeof definitions>;
 *   }
 * }
 *
 * const flags = kindlingFastify({ kindling });
 * const app = fastify();
 * await app.register(flags);
 * app.get("/", async (request) => (await request.kindling()).flags);
 * app.get("/admin", { preHandler: flags.require("admin") }, async () => "Hello, admin");
 * ```
 */
export function kindlingFastify<
  V extends Record<string, unknown>,
  Req extends FastifyRequestLike = FastifyRequestLike,
>({
  kindling,
  token = (request) => bearerToken(request.headers.authorization),
}: KindlingFastifyOptions<V, Req>): KindlingFastify<V, Req> {
  const readOf = createReads(kindling, token);
  const plugin = (fastify: FastifyInstanceLike<Req>, _options: unknown, done: () => void) => {
    fastify.decorateRequest("kindling");
    fastify.addHook("onRequest", (request, _reply, next) => {
      Object.assign(request, { kindling: readOf(request) });
      next();
    });
    done();
  };
  return Object.assign(plugin, {
    // What fastify-plugin sets: the decorator belongs to the app, not to a scope of the plugin's own.
    [Symbol.for("skip-override")]: true,
    require(requirement: Requirement<V>, options?: GuardOptions) {
      return async (request: Req, reply: FastifyReplyLike) => {
        const refusal = findRefusal(await readOf(request)(), requirement, options);
        if (refusal === undefined) return undefined;
        if (refusal.status === 303) return reply.redirect(refusal.location, refusal.status);
        throw Object.assign(new Error(refusal.message), { statusCode: refusal.status });
      };
    },
  });
}
