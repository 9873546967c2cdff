import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import type { Refuse } from "./body.ts";
import type { ClientAddress } from "./client-address.ts";

/** A bearer token and the name that logs call it by. */
export interface ApiToken {
  name: string;
  value: string;
}

/** Variables of a request that {@link requireToken} let pass. */
export interface CallerVariables {
  /** Who calls: log these fields with every successful write. */
  caller: { token: string; address: string };
}

/** Options for {@link requireToken}. */
export interface RequireTokenOptions {
  tokens: readonly ApiToken[];
  /** Name of the route for counters and the log. */
  route: string;
  clientAddress: ClientAddress;
  refuse: Refuse;
}

/** Refuses requests without `Authorization: Bearer <one of the tokens>` with 401. Sets `caller` for the others. */
export function requireToken({
  tokens,
  route,
  clientAddress,
  refuse,
}: RequireTokenOptions): MiddlewareHandler<{ Variables: CallerVariables }> {
  const message = "Send `Authorization: Bearer <the value of KINDLING_API_TOKEN>`.";
  const unauthorized = {
    message: (context: Context) => refuse(context, { route, status: 401, code: "unauthorized", message }),
  };
  return bearerAuth({
    verifyToken(given, context) {
      const [matching] = tokens.filter(({ value }) => sameSecret(given, value));
      if (matching === undefined) return false;
      context.set("caller", { token: matching.name, address: clientAddress(context) });
      return true;
    },
    noAuthenticationHeader: unauthorized,
    invalidAuthenticationHeader: unauthorized,
    invalidToken: unauthorized,
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
