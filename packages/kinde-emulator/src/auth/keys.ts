import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import {
  CompactSign,
  type CryptoKey,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  jwtVerify,
  type KeyObject,
} from "jose";

interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey | KeyObject;
  readonly publicJwk: JWK;
}

/** The tenant's signing keys. As in Kinde, one key signs events, access tokens and ID tokens. */
export interface Keys {
  jwks(): { keys: JWK[] };
  rotate(options?: { keepOld?: boolean }): Promise<void>;
  /** Signs the payload unchanged; adds no claims. */
  sign(payload: unknown, options?: SignOptions): Promise<string>;
  /** Returns the payload of a token signed by a published key. Throws if the token is invalid. */
  verify(token: string, expected: { issuer: string; audience?: string; now: number }): Promise<JWTPayload>;
  /** Id of the current key. */
  readonly kid: string;
}

export interface SignOptions {
  header?: Record<string, unknown>;
  key?: CryptoKey | KeyObject | JWK | Uint8Array;
}

/** @param first initial private RSA key, default a new one */
export async function createKeys(onRotate: (kid: string) => void, first?: JWK): Promise<Keys> {
  let current = first === undefined ? await newKey() : await keyOf(first);
  let published = [current];
  const encoder = new TextEncoder();

  const jwks = () => ({ keys: published.map(({ publicJwk }) => publicJwk) });
  return {
    jwks,
    rotate: async ({ keepOld = false } = {}) => {
      const next = await newKey();
      published = keepOld ? [next, ...published] : [next];
      current = next;
      onRotate(next.kid);
    },
    sign: (payload, { header = {}, key = current.privateKey } = {}) =>
      new CompactSign(encoder.encode(JSON.stringify(payload)))
        .setProtectedHeader({ alg: "RS256", kid: current.kid, typ: "JWT", ...header })
        .sign(key),
    verify: async (token, { issuer, audience, now }) => {
      const options = { algorithms: ["RS256"], issuer, currentDate: new Date(now), ...(audience && { audience }) };
      return (await jwtVerify(token, createLocalJWKSet(jwks()), options)).payload;
    },
    get kid() {
      return current.kid;
    },
  };
}

async function newKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair("RS256");
  return signingKey(privateKey, await exportJWK(publicKey));
}

async function keyOf(jwk: JWK): Promise<SigningKey> {
  const privateKey = createPrivateKey({ key: jwk, format: "jwk" });
  return signingKey(privateKey, await exportJWK(createPublicKey(privateKey)));
}

function signingKey(privateKey: SigningKey["privateKey"], publicKey: JWK): SigningKey {
  const kid = randomBytes(16).toString("hex");
  return { kid, privateKey, publicJwk: { ...publicKey, kid, use: "sig", alg: "RS256" } };
}
