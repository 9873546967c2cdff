import { type CryptoKey, createLocalJWKSet, errors, flattenedVerify, type JWK, type JWTVerifyGetKey } from "jose";
import { WebhookError } from "../errors.ts";
import type { Fetch } from "../fetch.ts";
import { parseJson, readText } from "./request.ts";

/** The tenant's public keys, cached in memory. */
export interface SigningKeys {
  /**
   * Finds the key for a token's header, as jose expects it.
   *
   * @throws {JWKSNoMatchingKey} if a key set fetched since the call lacks the key
   * @throws {WebhookError} `key_unknown` if the key can be newer than the key set, `keys_unavailable` if the key server
   *   cannot be reached
   */
  get: JWTVerifyGetKey;
  /** Returns whether keys are cached. If not, fetches them first, at most once per cooldown. */
  ready(): Promise<boolean>;
}

/** Options for {@link createSigningKeys}. */
export interface SigningKeysOptions {
  /** `<origin>/.well-known/jwks`. A token cannot name another. */
  url: string;
  fetch: Fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Keys older than this are refetched in the background and keep serving until then. Milliseconds. */
  maxAgeMs: number;
  /** Minimum time between two fetches, whatever the outcome and whichever key is requested. Milliseconds. */
  cooldownMs: number;
  /** Time limit for the key server, in milliseconds. */
  timeoutMs: number;
  onError?: (error: unknown) => void;
}

/**
 * Fetches and caches the tenant's keys. Unlike jose's `createRemoteJWKSet`, it keeps serving known keys while the key
 * server is down, and applies one cooldown to success, failure and unknown keys, so that a flood of random `kid`s costs
 * one fetch.
 */
export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { now, maxAgeMs, cooldownMs, onError } = options;
  let held: { find: KeyFinder; fetchedAt: number } | undefined;
  let attempt: { at: number; done: Promise<void> } | undefined;
  let failure: unknown;
  // A time ahead shows that the clock stepped back: nothing must last until it is there again.
  const since = (at: number) => Math.abs(now() - at);

  const refresh = (): Promise<void> => {
    if (attempt !== undefined && since(attempt.at) < cooldownMs) return attempt.done;
    const done = fetchKeys(options).then(
      (find) => {
        held = { find, fetchedAt: now() };
        failure = undefined;
      },
      (error: unknown) => {
        failure = error;
        onError?.(error);
      },
    );
    attempt = { at: now(), done };
    return done;
  };

  const find: JWTVerifyGetKey = async (header, token) => {
    if (held === undefined) throw new errors.JWKSNoMatchingKey();
    return held.find(header, token);
  };

  return {
    async get(header, token) {
      if (!canNameKey(header?.kid)) throw new errors.JWKSNoMatchingKey();
      const latest = attempt;
      try {
        const key = await find(header, token);
        if (held !== undefined && since(held.fetchedAt) > maxAgeMs) void refresh();
        return key;
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
      await refresh();
      try {
        return await find(header, token);
      } catch (error) {
        if (failure === undefined) {
          // Only a key set requested after the token arrived shows that no such key exists.
          if (attempt !== latest) throw error;
          const seconds = Math.ceil(cooldownMs / 1000);
          throw new WebhookError(
            "key_unknown",
            `The signing key is not in the key set fetched in the last ${seconds} s: deliver again later.`,
            { cause: error },
          );
        }
        throw new WebhookError("keys_unavailable", `The signing keys cannot be fetched from ${options.url}.`, {
          cause: failure,
        });
      }
    },

    async ready() {
      if (held === undefined) await refresh();
      return held !== undefined;
    },
  };
}

/** Largest key set in bytes, decoded. */
const maxKeySetBytes = 256 * 1024;

/** Keys of one id that a token is tried with. */
const mostOfOneId = 10;

type KeyFinder = (...token: Parameters<JWTVerifyGetKey>) => Promise<CryptoKey>;

async function fetchKeys({ url, fetch, timeoutMs }: SigningKeysOptions): Promise<KeyFinder> {
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "error",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}`);
  }
  const body = parseJson(await readText(response, maxKeySetBytes));
  if (typeof body !== "object" || body === null || !("keys" in body) || !Array.isArray(body.keys)) {
    throw new Error(`${url} did not return a key set`);
  }
  const keys = body.keys.filter(isObject);
  if (keys.length === 0) throw new Error(`${url} returned a key set without keys`);
  return createFinder(createLocalJWKSet({ keys }));
}

/** Tells keys of the same id apart, which jose leaves to its caller: nothing says that a key set has but one of each. */
function createFinder(find: ReturnType<typeof createLocalJWKSet>): KeyFinder {
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

/** Returns whether a key set can have a key of this id: RFC 7517 knows no ids but text. */
function canNameKey(kid: unknown): boolean {
  return kid === undefined || typeof kid === "string";
}

function verifies(token: Parameters<JWTVerifyGetKey>[1], key: CryptoKey): Promise<boolean> {
  return flattenedVerify(token, key, { algorithms: ["RS256"] }).then(
    () => true,
    () => false,
  );
}

function isObject(value: unknown): value is JWK {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
