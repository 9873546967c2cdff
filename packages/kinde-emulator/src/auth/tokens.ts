import { randomUUID } from "node:crypto";
import { type Applications, sameSecret } from "./applications.ts";
import type { Keys } from "./keys.ts";
import { type OAuthError, oauthError } from "./oauth-error.ts";
import { SCOPES } from "./scopes.ts";

const CACHED_TOKENS = 1000;

export interface TokenOptions {
  keys: Keys;
  issuer: () => string;
  clientId: string;
  clientSecret: string;
  applications: Applications;
  scopes?: readonly string[] | undefined;
  lifetimeSeconds: number;
  now: () => number;
  onIssue: (issued: number) => void;
}

/** A request for a machine-to-machine token. */
export interface TokenRequest {
  clientId: string | undefined;
  clientSecret: string | undefined;
  audience: string | undefined;
  scope: string | undefined;
}

export interface MachineToken {
  access_token: string;
  expires_in: number;
  scope: string;
  token_type: "bearer";
}

/** Issues and checks machine-to-machine tokens. */
export interface Tokens {
  issue(request: TokenRequest): Promise<MachineToken | OAuthError>;
  /** Returns the scopes of a valid token, otherwise undefined. */
  check(token: string): Promise<ReadonlySet<string> | undefined>;
  readonly issued: number;
  /** Sets the scopes of future tokens. Issued tokens keep theirs until they expire. */
  setScopes(scopes: readonly string[]): void;
  /** Returns the scopes of future tokens. */
  scopes(): string[];
  reset(): void;
}

export function createTokens(options: TokenOptions): Tokens {
  const { keys, issuer, now } = options;
  let granted: readonly string[] = options.scopes ?? SCOPES;
  const checked = new Map<string, { kid: string; expires: number; scopes: ReadonlySet<string> }>();
  let issued = 0;

  const audience = () => `${issuer()}/api`;

  const verify = async (token: string) => {
    try {
      const claims = await keys.verify(token, { issuer: issuer(), audience: audience(), now: now() });
      if (!Array.isArray(claims.gty) || !claims.gty.includes("client_credentials")) return undefined;
      const scopes = new Set(typeof claims.scope === "string" ? claims.scope.split(" ") : []);
      if (checked.size >= CACHED_TOKENS) checked.clear();
      checked.set(token, { kid: keys.kid, expires: (claims.exp ?? 0) * 1000, scopes });
      return scopes;
    } catch {
      return undefined;
    }
  };

  return {
    issue: async (request) => {
      const requested = request.scope?.split(" ").filter(Boolean) ?? [];
      const refusal = refuse(request, options, audience(), requested);
      if (refusal) return refusal;
      const scope = granted.filter((one) => requested.length === 0 || requested.includes(one)).join(" ");
      const claims = claimsOf(options, audience(), scope);
      const access_token = await keys.sign(claims);
      issued += 1;
      options.onIssue(issued);
      return { access_token, expires_in: options.lifetimeSeconds, scope, token_type: "bearer" };
    },
    check: async (token) => {
      const known = checked.get(token);
      if (known && known.kid === keys.kid && known.expires > now()) return known.scopes;
      checked.delete(token);
      return verify(token);
    },
    get issued() {
      return issued;
    },
    setScopes: (scopes) => {
      granted = [...new Set(scopes)];
    },
    scopes: () => [...granted],
    reset: () => {
      issued = 0;
    },
  };
}

function refuse(
  { clientId, clientSecret = "", audience }: TokenRequest,
  options: TokenOptions,
  expected: string,
  scopes: readonly string[],
): OAuthError | undefined {
  const application = clientId === undefined ? undefined : options.applications.get(clientId);
  const isMachine = clientId === options.clientId;
  const secret = isMachine ? options.clientSecret : application?.clientSecret;
  if (secret === undefined || !sameSecret(clientSecret, secret))
    return oauthError("invalid_client", "Client authentication failed.", 401);
  if (audience === undefined) return oauthError("invalid_request", `The audience is missing. Use ${expected}.`);
  if (!isMachine || audience !== expected)
    return oauthError("unauthorized_client", `The application is not authorized for the audience ${audience}.`);
  const unknown = scopes.find((scope) => !KNOWN_SCOPES.has(scope));
  if (unknown !== undefined) return oauthError("invalid_scope", `The scope ${unknown} does not exist.`);
  return undefined;
}

const KNOWN_SCOPES: ReadonlySet<string> = new Set(SCOPES);

function claimsOf({ clientId, issuer, lifetimeSeconds, now }: TokenOptions, audience: string, scope: string) {
  const iat = Math.floor(now() / 1000);
  return {
    aud: [audience],
    azp: clientId,
    exp: iat + lifetimeSeconds,
    gty: ["client_credentials"],
    iat,
    iss: issuer(),
    jti: randomUUID(),
    scope,
    scp: scope.split(" "),
    v: "2",
  };
}
