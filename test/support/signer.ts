import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  type JWTHeaderParameters,
  SignJWT,
} from "jose";

/** A tenant's key, and a `fetch` that serves it as the key set, counting how often. */
export interface Signer {
  url: string;
  fetch: typeof fetch;
  fetches(): number;
  /** Makes the key server answer otherwise: a status, or an error thrown. */
  fail(how: number | Error | undefined): void;
  /** Puts another key in place of the current one. */
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

/** A well-formed event, as Kinde's published sample has it. */
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

/** The instant of the events above. */
export const eventTime = Date.parse("2026-05-12T22:29:41.123Z");

/** A user id with that number in it. */
export function testUser(n: number): string {
  return `kp_${n.toString(16).padStart(32, "0")}`;
}
