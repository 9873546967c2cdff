import type { HttpBindings } from "@hono/node-server";
import type { Context, MiddlewareHandler } from "hono";
import { UserTokenError } from "../errors.ts";
import type { Refuse } from "../http/body.ts";
import type { RateCounter } from "../http/rate-counter.ts";
import { createTokenFinder, missingScope } from "../http/require-token.ts";
import type { TokenUser, UserTokens } from "../kinde/user-tokens.ts";
import type { ApiToken } from "../setting-values.ts";

/** Who sent a request: a service with a token of ours, or a user with an access token of Kinde. */
export type Caller = { kind: "service"; name: string } | ({ kind: "user" } & TokenUser);

/** Hono's types for the routes that read. */
export interface ReadEnv {
  Bindings: HttpBindings;
  Variables: { caller: Caller };
}

/** Creates the guard of a route, which sets the caller. The name of the route is for counters and the log. */
export type Authenticate = (route: string) => MiddlewareHandler<ReadEnv>;

/** Options for {@link createAuthenticate}. */
export interface AuthenticateOptions {
  tokens: readonly ApiToken[];
  /** Absent: no user's token is accepted. */
  userTokens: UserTokens | undefined;
  rates: {
    /** By name of a service token. */
    services: RateCounter;
    /** By user id. */
    users: RateCounter;
  };
  refuse: Refuse;
}

/** Creates guards that answer 401 without a valid token, 403 without the scope `read`, and 429 above a limit. */
export function createAuthenticate({ tokens, userTokens, rates, refuse }: AuthenticateOptions): Authenticate {
  const findService = createTokenFinder(tokens);

  return (route) => async (context, next) => {
    const token = tokenOf(context);
    if (token === undefined) return unauthorized(context, route, "Send `Authorization: Bearer <token>`.");

    const known = userTokens?.known(token);
    const service = known === undefined ? findService(token) : undefined;
    if (service !== undefined) {
      if (!service.scopes.has("read")) return refuse(context, missingScope(route, service.name, "read"));
      const wait = rates.services.take(service.name);
      if (wait !== undefined) return tooMany(context, route, wait, "KINDLING_API_READS_PER_MINUTE");
      context.set("caller", { kind: "service", name: service.name });
      return next();
    }

    const user = known ?? (await verify(context, route, token));
    if (user instanceof Response) return user;
    const wait = rates.users.take(user.userId);
    if (wait !== undefined) return tooMany(context, route, wait, "KINDLING_USER_READS_PER_MINUTE");
    context.set("caller", { kind: "user", ...user });
    return next();
  };

  async function verify(context: Context, route: string, token: string): Promise<TokenUser | Response> {
    if (userTokens === undefined) return unauthorized(context, route, "Unknown token: see KINDLING_API_TOKENS.");
    try {
      return await userTokens.verify(token);
    } catch (error) {
      if (!(error instanceof UserTokenError)) throw error;
      const { code, message } = error;
      if (code === "keys_unavailable") {
        return refuse(context, { route, status: 503, code, message, retryAfter: 5, cause: error });
      }
      return unauthorized(context, route, message, code);
    }
  }

  function unauthorized(context: Context, route: string, message: string, code = "unauthorized"): Response {
    context.header("WWW-Authenticate", 'Bearer error="invalid_token"');
    // An expired token is everyday life, and no sign of guessing.
    return refuse(context, { route, status: 401, code, message, blame: code !== "token_expired" });
  }

  function tooMany(context: Context, route: string, retryAfter: number, setting: string): Response {
    const message = `Too many requests in a minute (${setting}): try again in ${retryAfter} s.`;
    return refuse(context, { route, status: 429, code: "too_many_requests", message, retryAfter, blame: false });
  }
}

// RFC 6750, section 2.1; the scheme is case-insensitive. OFREP allows X-API-Key too.
function tokenOf({ req }: Context): string | undefined {
  const header = req.header("authorization");
  if (header === undefined) return req.path.startsWith("/ofrep/") ? req.header("x-api-key") : undefined;
  return /^bearer +([\w.~+/-]+=*)$/i.exec(header)?.[1];
}
