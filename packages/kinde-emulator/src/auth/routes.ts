import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import type { Faults } from "../faults/faults.ts";
import { keySetInterrupt } from "../faults/interrupts.ts";
import type { createPipeline, EmulatorContext } from "../http/pipeline.ts";
import { json, type Reply } from "../http/reply.ts";
import type { Keys } from "./keys.ts";
import { SCOPES } from "./scopes.ts";
import type { TokenRequest, Tokens } from "./tokens.ts";

export interface AuthRouteDeps {
  keys: Keys;
  tokens: Tokens;
  faults: Faults;
  issuer: () => string;
}

/** Mounts the key set, the OpenID configuration and the token endpoint. */
export function mountAuth(
  app: Hono<{ Bindings: HttpBindings }>,
  pipeline: ReturnType<typeof createPipeline>,
  { keys, tokens, faults, issuer }: AuthRouteDeps,
): void {
  for (const route of ["/.well-known/jwks", "/.well-known/jwks.json"]) {
    const interrupt = () => keySetInterrupt(faults);
    app.get(route, pipeline({ method: "GET", route, interrupt, handle: () => json(keys.jwks()) }));
  }
  const configuration = "/.well-known/openid-configuration";
  app.get(configuration, pipeline({ method: "GET", route: configuration, handle: () => json(openId(issuer())) }));
  const token = "/oauth2/token";
  app.post(token, pipeline({ method: "POST", route: token, handle: (context) => issueToken(tokens, context) }));
}

async function issueToken(tokens: Tokens, context: EmulatorContext): Promise<Reply> {
  const answer = await tokens.issue(await tokenRequest(context));
  if (answer.ok) return json(answer.body, 200, { "cache-control": "no-store" });
  return json({ error: answer.error, error_description: answer.description }, answer.status);
}

/** Reads client credentials from basic authentication if present, otherwise from the form. */
async function tokenRequest(context: EmulatorContext): Promise<TokenRequest> {
  const form = new URLSearchParams(await context.req.text());
  const field = (name: string) => form.get(name) || undefined;
  const basic = /^Basic (.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
  const [id, ...secret] = basic === undefined ? [] : Buffer.from(basic, "base64").toString().split(":");
  return {
    grantType: field("grant_type"),
    clientId: id === undefined ? field("client_id") : decodeURIComponent(id),
    clientSecret: id === undefined ? field("client_secret") : decodeURIComponent(secret.join(":")),
    audience: field("audience"),
    scope: field("scope"),
  };
}

const openId = (issuer: string) => ({
  issuer,
  authorization_endpoint: `${issuer}/oauth2/auth`,
  token_endpoint: `${issuer}/oauth2/token`,
  jwks_uri: `${issuer}/.well-known/jwks`,
  scopes_supported: ["openid", "profile", "email", "offline", ...SCOPES],
  response_types_supported: ["code"],
  grant_types_supported: ["client_credentials"],
  subject_types_supported: ["public"],
  id_token_signing_alg_values_supported: ["RS256"],
  token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
});
