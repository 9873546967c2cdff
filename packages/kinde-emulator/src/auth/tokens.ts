import { randomUUID } from "node:crypto";
import type { Keys } from "./keys.ts";
import { SCOPES } from "./scopes.ts";

const CACHED_TOKENS = 1000;

export interface TokenOptions {
  keys: Keys;
  issuer: () => string;
  clientId: string;
  clientSecret: string;
  scopes?: readonly string[] | undefined;
  lifetimeSeconds: number;
  now: () => number;
  onIssue: (issued: number) => void;
}

/** Parameters of a request to `/oauth2/token`. */
export interface TokenRequest {
  grantType: string | undefined;
  clientId: string | undefined;
  clientSecret: string | undefined;
  audience: string | undefined;
  scope: string | undefined;
}

export type TokenAnswer =
  | { ok: true; body: { access_token: string; expires_in: number; scope: string; token_type: "bearer" } }
  | { ok: false; status: 400 | 401; error: string; description: string };

/** Issues and checks machine-to-machine tokens. */
export interface Tokens {
  issue(request: TokenRequest): Promise<TokenAnswer>;
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
      const refusal = refuse(request, options, audience());
      if (refusal) return refusal;
      const requested = request.scope?.split(" ").filter(Boolean) ?? [];
      const scope = granted.filter((one) => requested.length === 0 || requested.includes(one)).join(" ");
      const claims = claimsOf(options, audience(), scope);
      const access_token = await keys.sign(claims);
      issued += 1;
      options.onIssue(issued);
      return { ok: true, body: { access_token, expires_in: options.lifetimeSeconds, scope, token_type: "bearer" } };
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

function refuse(request: TokenRequest, options: TokenOptions, audience: string): TokenAnswer | undefined {
  if (request.grantType !== "client_credentials")
    return refusal(400, "unsupported_grant_type", "Only the client_credentials grant is supported.");
  if (request.clientId !== options.clientId || request.clientSecret !== options.clientSecret)
    return refusal(401, "invalid_client", "Client authentication failed.");
  if (request.audience !== undefined && request.audience !== audience)
    return refusal(400, "invalid_request", `Unknown audience. Use ${audience}.`);
  return undefined;
}

const refusal = (status: 400 | 401, error: string, description: string): TokenAnswer => ({
  ok: false,
  status,
  error,
  description,
});

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
