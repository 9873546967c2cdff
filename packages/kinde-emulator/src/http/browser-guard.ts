import { isIP } from "node:net";
import type { Context, MiddlewareHandler } from "hono";
import { failure } from "./reply.ts";
import { send } from "./wire.ts";

/** Options for {@link refuseForeignHosts}. */
export interface HostGuardOptions {
  /** The address the emulator listens on. */
  host: string;
  /** Further names it is reached by. */
  allowedHosts: readonly string[];
}

/**
 * Refuses requests that name another host. A web page can point a name of its own at 127.0.0.1 (DNS rebinding) and would
 * then be of the same origin as the emulator. An address cannot be rebound, so any is accepted.
 */
export function refuseForeignHosts({ host, allowedHosts }: HostGuardOptions): MiddlewareHandler {
  const names = new Set(["localhost", host, ...allowedHosts].map((name) => name.toLowerCase()));
  return async (context, next) => {
    const { hostname } = new URL(context.req.url);
    const name = hostname.replace(/^\[|\]$/g, "").toLowerCase();
    if (isIP(name) !== 0 || names.has(name) || name.endsWith(".localhost")) return next();
    return send(failure(421, "HOST_NOT_ALLOWED", "The emulator is not reached by this host name: see allowedHosts."));
  };
}

/** Whether a browser sends this request on behalf of a page of another origin. Scripts send no `Origin`. */
export function isForeign(context: Context): boolean {
  const { origin, "sec-fetch-site": site } = context.req.header();
  const own = new URL(context.req.url).origin;
  return (origin !== undefined && origin !== own) || (site !== undefined && !["same-origin", "none"].includes(site));
}

/**
 * Refuses requests that a browser sends on behalf of another site. Scripts, tests and the emulator's own pages send no
 * foreign `Origin`, and a body that is not declared as JSON is one that a foreign page may send without being asked.
 */
export const refuseForeignPages: MiddlewareHandler = async (context, next) => {
  if (isForeign(context)) {
    return send(failure(403, "FOREIGN_ORIGIN", "The control API does not answer pages of another origin."));
  }
  const changes = !["GET", "HEAD"].includes(context.req.method);
  const hasBody = context.req.header("content-length") !== "0" && context.req.header("content-length") !== undefined;
  const chunked = context.req.header("transfer-encoding") !== undefined;
  if (changes && (hasBody || chunked) && !/^application\/json\b/i.test(context.req.header("content-type") ?? "")) {
    return send(failure(415, "UNSUPPORTED_MEDIA_TYPE", "Send the body as application/json (curl --json)."));
  }
  return next();
};
