import { hash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { every } from "hono/combine";
import type { ApiToken, Scope } from "../setting-values.ts";
import type { Refusal, Refuse } from "./body.ts";
import type { ClientAddress } from "./client-address.ts";

/** Variables of a request that {@link requireToken} let pass. */
export interface CallerVariables {
  /** Who calls: log these fields with every successful write. */
  caller: { token: string; address: string };
}

/** Options for {@link requireToken}. */
export interface RequireTokenOptions {
  tokens: readonly ApiToken[];
  /** Scope that the token must have. */
  scope: Scope;
  /** Name of the route for counters and the log. */
  route: string;
  clientAddress: ClientAddress;
  refuse: Refuse;
}

/**
 * Refuses requests without `Authorization: Bearer <one of the tokens>` with 401, and tokens without the scope with 403.
 * Sets `caller` for the others.
 */
export function requireToken(options: RequireTokenOptions): MiddlewareHandler<{ Variables: CallerVariables }> {
  const { tokens, scope, route, clientAddress, refuse } = options;
  const find = createTokenFinder(tokens);
  const message = "Send `Authorization: Bearer <one of the tokens of KINDLING_API_TOKENS>`.";
  const unauthorized = {
    message: (context: Context) => refuse(context, { route, status: 401, code: "unauthorized", message }),
  };
  const authenticate = bearerAuth<{ Variables: { token: ApiToken } }>({
    verifyToken(given, context) {
      const matching = find(given);
      if (matching !== undefined) context.set("token", matching);
      return matching !== undefined;
    },
    noAuthenticationHeader: unauthorized,
    invalidAuthenticationHeader: unauthorized,
    invalidToken: unauthorized,
  });
  const authorize: MiddlewareHandler<{ Variables: CallerVariables & { token: ApiToken } }> = async (context, next) => {
    const { name, scopes } = context.get("token");
    if (!scopes.has(scope)) return refuse(context, missingScope(route, name, scope));
    context.set("caller", { token: name, address: clientAddress(context) });
    return next();
  };
  return every(authenticate, authorize);
}

/** Returns the refusal of a token that lacks a scope. */
export function missingScope(route: string, name: string, scope: Scope): Refusal {
  const message = `The token "${name}" lacks the scope "${scope}": see KINDLING_API_TOKENS.`;
  return { route, status: 403, code: "forbidden", message, blame: false };
}

/** Returns a function that finds a token. It compares with every one of them in constant time. */
export function createTokenFinder<Token extends { value: string }>(
  tokens: readonly Token[],
): (given: string) => Token | undefined {
  const known = tokens.map((token) => ({ token, digest: digest(token.value) }));
  return (given) => {
    const digestGiven = digest(given);
    // Not `find`, which would stop at the match and so tell its position.
    return known.filter((candidate) => timingSafeEqual(digestGiven, candidate.digest))[0]?.token;
  };
}

// `timingSafeEqual` needs inputs of equal length.
function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
