import { type CryptoKey, createLocalJWKSet, errors, flattenedVerify, type JWTVerifyGetKey } from "jose";
import { fetchWithoutRedirects } from "../http/fetch-without-redirects.ts";
import { nothing, within } from "../reader/redis.ts";

/** Thrown when a key is unknown, and the key server cannot be asked or was asked too recently. */
export class KeysUnavailable extends Error {}

/** Options for {@link createKeySet}. Durations are in milliseconds. */
export interface KeySetOptions {
  url: string;
  fetch: typeof fetch;
  now: () => number;
  /** Time limit for the key server. */
  timeoutMs: number;
  /** Shortest time between two fetches, whatever the outcome and whichever key is asked for. */
  cooldownMs: number;
}

/** A fetch of the keys. */
interface Attempt {
  readonly at: number;
  ended: boolean;
  /** Never settles on Cloudflare Workers if the request that began it is cancelled. */
  readonly done: Promise<unknown>;
}

/** Time for an attempt to end after its time limit. */
const graceMs = 500;
/** Keys older than this are fetched again in the background. */
const softAgeMs = 10 * 60_000;
/** While the key server is down, keys up to this age still count. */
const hardAgeMs = 24 * 3_600_000;
const maxBytes = 256 * 1024;
/** Keys of one id that a token is tried with. */
const mostOfOneId = 10;

/**
 * Creates a cache of the tenant's public keys. Unlike jose's `createRemoteJWKSet`, it keeps using known keys while the key
 * server is down, and one cooldown covers success, failure and unknown keys: a flood of forged tokens costs one fetch.
 */
export function createKeySet(options: KeySetOptions): JWTVerifyGetKey {
  const { url, now, timeoutMs, cooldownMs } = options;
  let held: { find: JWTVerifyGetKey; fetchedAt: number } | undefined;
  let attempt: Attempt | undefined;
  let failure: unknown;
  // A clock that was set back must not keep keys, or the pause between fetches, for as long as it went back.
  const ago = (time: number) => Math.abs(now() - time);

  /** Returns whether the attempt ended in time. */
  const hasEnded = async ({ at, ended, done }: Attempt) =>
    ended || (await within(Math.min(at - now(), 0) + timeoutMs + graceMs, () => done)) !== nothing;

  const refresh = async (): Promise<void> => {
    const latest = attempt;
    if (latest !== undefined && ago(latest.at) < cooldownMs && (await hasEnded(latest))) return;
    // Others who waited in vain come here too.
    if (attempt === latest) attempt = begin();
    if (attempt !== undefined && !(await hasEnded(attempt))) failure = new Error(`${url} was not asked in time`);
  };

  const begin = (): Attempt => {
    const done = fetchKeys(options).then(
      (find) => {
        held = { find, fetchedAt: now() };
        failure = undefined;
      },
      (error: unknown) => {
        failure = error;
      },
    );
    const begun: Attempt = { at: now(), ended: false, done };
    void done.then(() => {
      begun.ended = true;
    });
    return begun;
  };

  const find: JWTVerifyGetKey = async (header, token) => {
    if (held === undefined || ago(held.fetchedAt) > hardAgeMs) throw new errors.JWKSNoMatchingKey();
    return held.find(header, token);
  };

  return async (header, token) => {
    // No key set has a key whose id is not text.
    if (header?.kid !== undefined && typeof header.kid !== "string") throw new errors.JWKSNoMatchingKey();
    const latest = attempt;
    try {
      const key = await find(header, token);
      if (held !== undefined && ago(held.fetchedAt) > softAgeMs) void refresh();
      return key;
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    await refresh();
    try {
      return await find(header, token);
    } catch (error) {
      if (failure !== undefined) {
        throw new KeysUnavailable(`the signing keys cannot be fetched from ${url}`, { cause: failure });
      }
      // Only a key set requested after the token arrived shows that no such key exists.
      if (attempt !== latest) throw error;
      const seconds = Math.ceil(cooldownMs / 1000);
      throw new KeysUnavailable(`the signing key is not in the key set fetched in the last ${seconds} s`, {
        cause: error,
      });
    }
  };
}

async function fetchKeys({ url, fetch, timeoutMs }: KeySetOptions): Promise<JWTVerifyGetKey> {
  const response = await fetchWithoutRedirects(fetch, url, {
    headers: { accept: "application/json" },
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const body: unknown = JSON.parse(await readText(response));
  if (typeof body !== "object" || body === null || !("keys" in body) || !Array.isArray(body.keys)) {
    throw new Error(`${url} did not return a key set`);
  }
  const keys = body.keys.filter((key: unknown) => typeof key === "object" && key !== null && !Array.isArray(key));
  if (keys.length === 0) throw new Error(`${url} returned a key set without keys`);
  return createFinder(createLocalJWKSet({ keys }));
}

/** Tells keys of the same id apart, which jose leaves to its caller: nothing says that a key set has but one of each. */
function createFinder(find: ReturnType<typeof createLocalJWKSet>): JWTVerifyGetKey {
  return async (header, token) => {
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      let tried = 0;
      for await (const key of error) {
        if (await verifies(token, key)) return key;
        tried += 1;
        if (tried === mostOfOneId) break;
      }
      throw tried === 0 ? new Error("No key of this id is usable.") : new errors.JWSSignatureVerificationFailed();
    }
  };
}

function verifies(token: Parameters<JWTVerifyGetKey>[1], key: CryptoKey): Promise<boolean> {
  return flattenedVerify(token, key, { algorithms: ["RS256"] }).then(
    () => true,
    () => false,
  );
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new Error(`the key set is larger than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
