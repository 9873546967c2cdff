import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  type JWTHeaderParameters,
  SignJWT,
} from "jose";

/** A tenant's signing key, and a `fetch` that serves the key set and counts the calls. */
export interface Signer {
  url: string;
  fetch: typeof fetch;
  fetches(): number;
  /** Makes the key server answer with a status or throw an error; `undefined` restores it. */
  fail(how: number | Error | undefined): void;
  /** Replaces the current key. */
  rotate(): Promise<void>;
  sign(payload: Record<string, unknown>, header?: Partial<JWTHeaderParameters>): Promise<string>;
  privateKey(): CryptoKey;
  kid(): string;
}

export async function createSigner(): Promise<Signer> {
  const url = "https://tenant.kinde.test/.well-known/jwks";
  let fetched = 0;
  let failure: number | Error | undefined;
  let serial = 0;
  const make = async () => {
    const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
    serial += 1;
    const kid = `key-${serial}`;
    const set: JSONWebKeySet = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" }] };
    return { privateKey, kid, set };
  };
  let current = await make();
  return {
    url,
    fetch: async () => {
      fetched += 1;
      if (failure instanceof Error) throw failure;
      return failure === undefined ? Response.json(current.set) : new Response("down", { status: failure });
    },
    fetches: () => fetched,
    fail: (how) => {
      failure = how;
    },
    rotate: async () => {
      current = await make();
    },
    sign: (payload, header = {}) =>
      new SignJWT(payload)
        .setProtectedHeader({ alg: "RS256", kid: current.kid, typ: "JWT", ...header })
        .sign(current.privateKey),
    privateKey: () => current.privateKey,
    kid: () => current.kid,
  };
}

let events = 0;

/** Creates a well-formed event, modelled on Kinde's published sample. */
export function event(type: string, data: Record<string, unknown>, rest: Record<string, unknown> = {}) {
  events += 1;
  return {
    type,
    event_id: `event_${events.toString(16).padStart(32, "0")}`,
    timestamp: "2026-05-13T08:29:41.123456+10:00",
    source: "admin",
    data,
    ...rest,
  };
}

/** Timestamp of these events. */
export const eventTime = Date.parse("2026-05-12T22:29:41.123Z");

/** Returns the user id with this number. */
export function testUser(n: number): string {
  return `kp_${n.toString(16).padStart(32, "0")}`;
}
