import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { failure } from "./body.ts";

/** Rejects requests without `Authorization: Bearer <token>` with 401. */
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
 * Compares two secrets in constant time. It compares digests, because `timingSafeEqual` needs inputs of equal length.
 */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
