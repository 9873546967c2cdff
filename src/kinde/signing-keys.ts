import { createLocalJWKSet, errors, type JWTVerifyGetKey } from "jose";
import { WebhookError } from "../errors.ts";

/** The tenant's public keys, held in memory. */
export interface SigningKeys {
  /**
   * Key for a token's header, for jose.
   *
   * @throws {JWKSNoMatchingKey} no such key, and the keys were fetched recently
   * @throws {WebhookError} `keys_unavailable` when that cannot be told
   */
  get: JWTVerifyGetKey;
  /** Whether keys are held; fetches them if not, at most once per cool-down. */
  ready(): Promise<boolean>;
}

/** What the keys need from outside. */
export interface SigningKeysOptions {
  /** `<origin>/.well-known/jwks`; no token can name another. */
  url: string;
  fetch: typeof fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Keys older than this are fetched again in the background; those held serve meanwhile. */
  maxAgeMs: number;
  /** Least time between two fetches, whatever became of the first and whatever key is asked for. */
  cooldownMs: number;
  /** Longest wait for the key server. */
  timeoutMs: number;
  onError?: (error: unknown) => void;
}

/**
 * Holds the tenant's keys. jose's own remote set drops its keys when they age while the key server is down, and asks
 * again at once after a failed fetch; here known keys go on serving, and one cool-down covers success, failure and
 * unknown keys alike, so that a flood of random `kid`s costs one fetch.
 */
export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { now, maxAgeMs, cooldownMs, onError } = options;
  let held: { find: KeyFinder; fetchedAt: number } | undefined;
  let attempt: { at: number; done: Promise<void> } | undefined;
  let failure: unknown;

  const refresh = (): Promise<void> => {
    if (attempt !== undefined && now() - attempt.at < cooldownMs) return attempt.done;
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
      try {
        const key = await find(header, token);
        if (held !== undefined && now() - held.fetchedAt > maxAgeMs) void refresh();
        return key;
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
      await refresh();
      try {
        return await find(header, token);
      } catch (error) {
        if (failure === undefined) throw error;
        throw new WebhookError("keys_unavailable", "The key server of the Kinde domain cannot be reached.", {
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

type KeyFinder = ReturnType<typeof createLocalJWKSet>;

async function fetchKeys({ url, fetch, timeoutMs }: SigningKeysOptions): Promise<KeyFinder> {
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "error",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const body: unknown = await response.json();
  if (typeof body !== "object" || body === null || !("keys" in body) || !Array.isArray(body.keys)) {
    throw new Error(`${url} answered no key set`);
  }
  if (body.keys.length === 0) throw new Error(`${url} answered an empty key set`);
  return createLocalJWKSet({ keys: body.keys });
}
