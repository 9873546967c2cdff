import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { type JWTPayload, SignJWT } from "jose";

const user_properties = { onboarded: { v: true }, plan_tier: { v: "pro" }, compliance_region: { v: "eu" } };

/** An ID token of a user, as an app server holds it. */
export function idToken(sub: string): Promise<string> {
  return sign(sub, { user_properties, email: "ada@example.com", given_name: "Ada", org_codes: ["org_1"] });
}

/** An access token of a user of a B2B app: permissions and feature flags make it longer than an ID token. */
export function accessToken(sub: string): Promise<string> {
  const flags = Array.from({ length: 10 }, (_, index) => [`feature_${index}`, { t: "b", v: index % 2 === 0 }]);
  return sign(sub, {
    aud: ["https://api.example.com"],
    azp: "0123456789abcdef0123456789abcdef",
    iss: "https://example.kinde.com",
    jti: "01234567-89ab-cdef-0123-456789abcdef",
    exp: Math.floor(Date.now() / 1000) + 86_400,
    org_code: "org_0123456789a",
    scp: ["openid", "profile", "email", "offline"],
    permissions: Array.from({ length: 20 }, (_, index) => `resource${index}:write`),
    roles: [{ id: "01929904-316d-bb2c-069f-99dfea4a0000", key: "admin", name: "Administrator" }],
    feature_flags: Object.fromEntries(flags),
    user_properties,
  });
}

function sign(sub: string, claims: JWTPayload): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "RS256", kid: "k" })
    .setSubject(sub)
    .setIssuedAt()
    .sign(signingKey());
}

function signingKey(): KeyObject {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return createPrivateKey(privateKey.export({ type: "pkcs8", format: "pem" }));
}
