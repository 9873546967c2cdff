import type { Context, MiddlewareHandler } from "hono";
import type { ApiToken } from "../config.ts";
import { UserTokenError } from "../errors.ts";
import { failure } from "../http/body.ts";
import type { RateCounter } from "../http/rate-counter.ts";
import { createTokenFinder, missingScope } from "../http/require-token.ts";
import type { TokenUser, UserTokens } from "../kinde/user-tokens.ts";

/** Who sent a request: a service with a token of ours, or a user with an access token of Kinde. */
export type Caller = { kind: "service"; name: string } | ({ kind: "user" } & TokenUser);

/** Hono variables of the routes that read. */
export interface ReadEnv {
  Variables: { caller: Caller };
}

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
    /** Refused tokens, by address. */
    refusals: RateCounter;
  };
  clientAddress: (context: Context) => string;
}

/**
 * Creates the guard of the routes that read: 401 without a valid token, 403 without the scope `read`, 429 above a limit.
 *
 * An address with too many refused tokens gets 429 for further unknown ones. Known tokens still work from there, because
 * many callers can share an address.
 */
export function createAuthenticate(options: AuthenticateOptions): MiddlewareHandler<ReadEnv> {
  const { tokens, userTokens, rates, clientAddress } = options;
  const findService = createTokenFinder(tokens);

  return async (context, next) => {
    const token = tokenOf(context);
    if (token === undefined) return unauthorized(context, "Send `Authorization: Bearer <token>`.");

    const known = userTokens?.known(token);
    const service = known === undefined ? findService(token) : undefined;
    if (service !== undefined) {
      if (!service.scopes.has("read")) return context.json(missingScope(service.name, "read"), 403);
      const wait = rates.services.take(service.name);
      if (wait !== undefined) return tooMany(context, wait, "KINDLING_API_READS_PER_MINUTE");
      context.set("caller", { kind: "service", name: service.name });
      return next();
    }

    const user = known ?? (await verify(context, token));
    if (user instanceof Response) return user;
    const wait = rates.users.take(user.userId);
    if (wait !== undefined) return tooMany(context, wait, "KINDLING_USER_READS_PER_MINUTE");
    context.set("caller", { kind: "user", ...user });
    return next();
  };

  async function verify(context: Context, token: string): Promise<TokenUser | Response> {
    const address = clientAddress(context);
    const wait = rates.refusals.wait(address);
    if (wait !== undefined) return tooMany(context, wait, "KINDLING_REFUSED_PER_MINUTE");
    try {
      if (userTokens !== undefined) return await userTokens.verify(token);
    } catch (error) {
      if (!(error instanceof UserTokenError)) throw error;
      if (error.code === "keys_unavailable") {
        return context.json(failure(error.code, error.message), 503, { "Retry-After": "5" });
      }
      // An expired token is everyday life, and no sign of guessing.
      if (error.code === "token_refused") rates.refusals.take(address);
      return unauthorized(context, error.message, error.code);
    }
    rates.refusals.take(address);
    return unauthorized(context, "Unknown token: see KINDLING_API_TOKENS, and KINDLING_CLIENT_IDS for users' tokens.");
  }
}

// RFC 6750, section 2.1; the scheme is case-insensitive. OFREP allows X-API-Key too.
function tokenOf({ req }: Context): string | undefined {
  const header = req.header("authorization");
  if (header === undefined) return req.path.startsWith("/ofrep/") ? req.header("x-api-key") : undefined;
  return /^bearer +([\w.~+/-]+=*)$/i.exec(header)?.[1];
}

function unauthorized(context: Context, message: string, code = "unauthorized"): Response {
  return context.json(failure(code, message), 401, { "WWW-Authenticate": 'Bearer error="invalid_token"' });
}

function tooMany(context: Context, seconds: number, setting: string): Response {
  const message = `Too many requests in a minute (${setting}): try again in ${seconds} s.`;
  return context.json(failure("too_many_requests", message), 429, { "Retry-After": String(seconds) });
}
