import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { failure } from "./failure.ts";
import { sameSecret } from "./same-secret.ts";

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
