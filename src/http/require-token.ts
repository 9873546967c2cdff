import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { failure } from "./failure.ts";

/** Lets through only who carries the token: `Authorization: Bearer <token>`. */
export function requireToken(token: string): MiddlewareHandler {
  const refuse = {
    message: (context: Context) =>
      context.json(failure("unauthorized", "Send `Authorization: Bearer <the value of KINDLING_API_TOKEN>`."), 401),
  };
  return bearerAuth({
    verifyToken: (given) => sameSecret(given, token),
    noAuthenticationHeader: refuse,
    invalidAuthenticationHeader: refuse,
    invalidToken: refuse,
  });
}

/**
 * Whether two secrets are the same, in a time that tells nothing of how far they agree: digests are compared, which
 * have one length whatever was given.
 */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
