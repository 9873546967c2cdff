import { SCOPES } from "./scopes.ts";
import { USER_SCOPES } from "./user-tokens.ts";

/** Returns the OpenID configuration. It names only what exists. */
export const discoveryDocument = (issuer: string) => ({
  issuer,
  authorization_endpoint: `${issuer}/oauth2/auth`,
  token_endpoint: `${issuer}/oauth2/token`,
  userinfo_endpoint: `${issuer}/oauth2/v2/user_profile`,
  end_session_endpoint: `${issuer}/logout`,
  introspection_endpoint: `${issuer}/oauth2/introspect`,
  revocation_endpoint: `${issuer}/oauth2/revoke`,
  jwks_uri: `${issuer}/.well-known/jwks`,
  scopes_supported: [...USER_SCOPES, ...SCOPES],
  response_types_supported: ["code"],
  response_modes_supported: ["query"],
  grant_types_supported: ["authorization_code", "refresh_token", "client_credentials"],
  subject_types_supported: ["public"],
  id_token_signing_alg_values_supported: ["RS256"],
  code_challenge_methods_supported: ["S256"],
  prompt_values_supported: ["none", "login", "create"],
  token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
  revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
  introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
  claims_supported: [
    ...["aud", "auth_time", "at_hash", "azp", "exp", "iat", "iss", "jti", "nonce", "sub", "updated_at"],
    ...["email", "email_verified", "family_name", "given_name", "name", "phone_number", "picture"],
    ...["preferred_username", "org_codes", "user_properties"],
  ],
});
