import { hash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { every } from "hono/combine";
import type { ApiToken, Scope } from "../config.ts";
import { failure } from "./body.ts";

/** Hono variables that {@link requireToken} sets. */
export interface TokenEnv {
  Variables: {
    /** The token that the request was sent with. */
    caller: ApiToken;
  };
}

/** Rejects requests without `Authorization: Bearer <token>` with 401, and tokens without the scope with 403. */
export function requireToken(tokens: readonly ApiToken[], scope: Scope): MiddlewareHandler<TokenEnv> {
  const find = createTokenFinder(tokens);
  const refuse = {
    message: (context: Context) =>
      context.json(failure("unauthorized", "Send `Authorization: Bearer <a token of KINDLING_API_TOKENS>`."), 401),
  };
  const authenticate = bearerAuth<TokenEnv>({
    verifyToken: (given, context) => {
      const found = find(given);
      if (found !== undefined) context.set("caller", found);
      return found !== undefined;
    },
    noAuthenticationHeader: refuse,
    invalidAuthenticationHeader: refuse,
    invalidToken: refuse,
  });
  const authorize: MiddlewareHandler<TokenEnv> = async (context, next) => {
    const { name, scopes } = context.get("caller");
    if (!scopes.has(scope)) return context.json(missingScope(name, scope), 403);
    return next();
  };
  return every(authenticate, authorize);
}

/** Returns the body of the 403 for a token without the scope. */
export function missingScope(name: string, scope: Scope) {
  return failure("forbidden", `The token "${name}" lacks the scope "${scope}": see KINDLING_API_TOKENS.`);
}

/** Returns a function that finds a token. It compares with every one of them in constant time. */
export function createTokenFinder(tokens: readonly ApiToken[]): (given: string) => ApiToken | undefined {
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
