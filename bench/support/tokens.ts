import { randomBytes } from "node:crypto";
import { type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from "jose";

/** A tenant's key, and events signed with it. */
export interface Signer {
  keys: JSONWebKeySet;
  /** So many `user.updated`, each of another user. */
  events(count: number): Promise<string[]>;
}

/** A signer with a key like Kinde's: RSA, 2048 bits. */
export async function createSigner(): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair("RS256");
  const kid = randomBytes(16).toString("hex");
  return {
    keys: { keys: [{ ...(await exportJWK(publicKey)), kid, use: "sig", alg: "RS256" }] },
    events: (count) => Promise.all(Array.from({ length: count }, () => sign(updateOf(userId()), privateKey, kid))),
  };
}

/** An id of the shape Kinde gives. */
export function userId(): string {
  return `kp_${randomBytes(16).toString("hex")}`;
}

/** `user.updated` as Kinde sends it, about an ordinary user. */
export function updateOf(id: string) {
  const grants = (...keys: string[]) => keys.map((key) => ({ id: randomBytes(16).toString("hex"), key }));
  return {
    data: {
      user: {
        email: `${id.slice(3, 11)}@example.com`,
        first_name: "Ada",
        id,
        is_password_reset_requested: false,
        is_suspended: false,
        last_name: "Example",
        organizations: [
          {
            code: `org_${randomBytes(6).toString("hex").slice(1)}`,
            permissions: grants("admin:access"),
            roles: grants("owner"),
          },
        ],
        phone: null,
        username: null,
      },
    },
    event_id: `event_${randomBytes(16).toString("hex")}`,
    event_timestamp: new Date().toISOString(),
    source: "admin",
    timestamp: new Date().toISOString(),
    type: "user.updated",
  };
}

function sign(payload: ReturnType<typeof updateOf>, key: CryptoKey, kid: string): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg: "RS256", kid, typ: "JWT" }).sign(key);
}
