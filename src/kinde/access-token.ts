import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { connectionProblem, KindeError, ThrottledError } from "../errors.ts";
import type { Fetch, FetchAnswer } from "../fetch.ts";
import { type OnAnswer, parseJson, parseRateLimitReset, readText, withDeadline } from "./request.ts";

/** An access token for the Management API; times in milliseconds since the epoch. */
export interface AccessToken {
  token: string;
  issuedAt: number;
  expiresAt: number;
}

/** Stores the token: in Redis for the whole fleet, or in the memory of one process. */
export interface AccessTokenStore {
  read(): Promise<AccessToken | undefined>;
  write(token: AccessToken): Promise<void>;
  /** Deletes the token if it is still the stored one. */
  forget(token: string): Promise<void>;
  /** Runs the task unless another caller is running one. Resolves to whether it ran. */
  exclusively(task: () => Promise<void>): Promise<boolean>;
}

/** Provides the fleet's one machine-to-machine token. Kinde counts and bills every token it issues. */
export interface AccessTokens {
  /**
   * @throws {KindeError} `kinde_unauthorized` if Kinde rejects the credentials, `kinde_unavailable`
   * @throws {ThrottledError} if Kinde answers 429
   */
  get(signal: AbortSignal): Promise<string>;
  /**
   * Reports that Kinde rejected this token, so that the next `get` returns another.
   *
   * @throws {KindeError} `kinde_unauthorized` if the token was issued moments ago: a new one would be rejected too.
   * `kinde_unavailable` if Kinde has accepted this one: then a later attempt gets another
   */
  reportRejected(token: string): Promise<void>;
  /** Reports that Kinde accepted this token, so that a rejection does not look like a wrong configuration. */
  reportAccepted(token: string): void;
  /**
   * Reports that this token lacks a scope. A token carries the scopes granted when it was issued, so only a newer one can
   * help: the next `get` returns the fleet's newer token, or a new one if the fleet has deleted this one. Otherwise
   * nothing changes, so a scope that stays missing costs no tokens.
   */
  reportMissingScope(token: string): Promise<void>;
}

/** Dependencies of {@link createAccessTokens}. */
export interface AccessTokensOptions {
  store: AccessTokenStore;
  fetch: Fetch;
  now: () => number;
  origin: string;
  clientId: string;
  clientSecret: string;
  audience: string;
  timeoutMs: number;
  onAnswer?: OnAnswer;
}

/** A token younger than this is not replaced: usually the configuration is wrong, and tokens cost money. */
const tooYoungToReplaceMs = 60_000;

/** A token is used for 30 days at most, whatever its lifetime. */
const longestLifetimeMs = 30 * 86_400_000;

/** Milliseconds before rejected credentials are tried again, however many jobs need a token. */
const rejectionHoldsMs = 5_000;

/**
 * Obtains tokens with the client credentials grant.
 *
 * @see https://docs.kinde.com/kinde-apis/management/
 */
export function createAccessTokens(options: AccessTokensOptions): AccessTokens {
  const { store, now, timeoutMs } = options;
  let held: AccessToken | undefined;
  /** A token that could not be stored: its absence from the store means nothing. */
  let unshared: string | undefined;
  let rejection: { error: KindeError; at: number } | undefined;
  let accepted: string | undefined;

  // The first process to notice renews the token in the last tenth of its life (at most a minute); the others keep using it.
  const isFresh = (token: AccessToken) =>
    token.expiresAt - now() > Math.min(60_000, (token.expiresAt - token.issuedAt) / 10);
  const isUsable = (token: AccessToken) => token.expiresAt - now() > 1_000;

  const share = async (issued: AccessToken) => {
    try {
      await store.write(issued);
    } catch {
      unshared = issued.token;
    }
  };

  const renew = async (signal: AbortSignal): Promise<AccessToken> => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const stored = await store.read();
      if (stored !== undefined && isFresh(stored)) return stored;
      let issued: AccessToken | undefined;
      const renewal = store.exclusively(async () => {
        // The previous lock holder may have stored a new token since the read above.
        const latest = await store.read();
        issued = latest !== undefined && isFresh(latest) ? latest : await requestToken(options, signal);
        // Kinde has billed the token, so this process uses it even if it cannot be shared.
        if (issued !== latest) await share(issued);
      });
      await renewal.catch((error: unknown) => {
        if (stored === undefined || !isUsable(stored)) throw error;
      });
      if (issued !== undefined) return issued;
      if (stored !== undefined && isUsable(stored)) return stored;
      if (performance.now() > deadline) {
        throw new KindeError(
          "kinde_unavailable",
          `No access token within ${timeoutMs} ms: another process is still requesting one from ${options.origin}.`,
        );
      }
      await delay(50, undefined, { signal });
    }
  };

  return {
    async get(signal) {
      if (held !== undefined && isFresh(held)) return held.token;
      // A time ahead shows that the clock stepped back.
      if (rejection !== undefined && Math.abs(now() - rejection.at) < rejectionHoldsMs) throw rejection.error;
      try {
        held = await renew(signal);
      } catch (error) {
        if (error instanceof KindeError && error.code === "kinde_unauthorized") rejection = { error, at: now() };
        throw error;
      }
      return held.token;
    },

    async reportRejected(token) {
      const rejected = held?.token === token ? held : await store.read();
      held = undefined;
      if (rejected?.token !== token) return;
      if (Math.abs(now() - rejected.issuedAt) < tooYoungToReplaceMs) {
        // Kinde's signing keys were replaced, for example, or a gateway answers.
        if (token === accepted) {
          throw new KindeError(
            "kinde_unavailable",
            `Kinde (${options.origin}) rejected a token that it has accepted: it is replaced a minute after it was issued.`,
          );
        }
        throw configurationError(options.origin, "a token it has just issued");
      }
      await store.forget(token);
    },

    reportAccepted(token) {
      accepted = token;
    },

    async reportMissingScope(token) {
      if (held?.token !== token) return;
      const stored = await store.read();
      if (stored === undefined ? token !== unshared : stored.token !== token) held = undefined;
    },
  };
}

/** Returns the error for rejected credentials. The message names the settings to check. */
export function configurationError(origin: string, rejected: string, status?: number): KindeError {
  return new KindeError(
    "kinde_unauthorized",
    `Kinde (${origin}) rejected ${rejected}: check KINDE_DOMAIN, KINDE_MANAGEMENT_CLIENT_ID, ` +
      "KINDE_MANAGEMENT_CLIENT_SECRET and KINDE_AUDIENCE (with a custom domain the audience stays " +
      "https://<name>.kinde.com/api), and that the application is authorized for the Management API.",
    { ...(status !== undefined && { status }) },
  );
}

const tokenRoute = "POST /oauth2/token";

/** Largest answer of the token endpoint in bytes, decoded. */
const maxAnswerBytes = 64 * 1024;

const answerSchema = z.object({
  // It becomes a header, which holds visible characters only.
  access_token: z.string().regex(/^[\x21-\x7e]{1,16384}$/),
  expires_in: z.coerce.number().positive(),
});

/** Returns how long a token is used, in milliseconds: not so briefly that every call would request another. */
function lifetimeOf(expiresInSeconds: number): number {
  return Math.min(Math.max(expiresInSeconds * 1000, tooYoungToReplaceMs), longestLifetimeMs);
}

async function requestToken(options: AccessTokensOptions, signal: AbortSignal): Promise<AccessToken> {
  const { fetch, now, origin, clientId, clientSecret, audience, timeoutMs, onAnswer } = options;
  const issuedAt = now();
  let response: FetchAnswer;
  let text: string;
  try {
    [response, text] = await withDeadline(signal, timeoutMs, async (deadline) => {
      const answer = await fetch(`${origin}/oauth2/token`, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams({
          grant_type: "client_credentials",
          client_id: clientId,
          client_secret: clientSecret,
          audience,
        }).toString(),
        redirect: "error",
        signal: deadline,
      });
      return [answer, await readText(answer, maxAnswerBytes)];
    });
  } catch (cause) {
    signal.throwIfAborted();
    onAnswer?.(tokenRoute, "failed");
    const problem = connectionProblem(cause);
    const reason =
      problem === undefined ? `no readable answer within ${timeoutMs} ms` : `${problem}; check KINDE_DOMAIN`;
    throw new KindeError("kinde_unavailable", `${origin} issued no access token: ${reason}.`, { cause });
  }
  onAnswer?.(tokenRoute, response.status);
  if (response.status === 429) throw new ThrottledError(parseRateLimitReset(response.headers.get("ratelimit-reset")));
  if ([400, 401, 403].includes(response.status)) throw configurationError(origin, "the client credentials");
  const answer = answerSchema.safeParse(parseJson(text));
  if (!response.ok || !answer.success) {
    throw new KindeError("kinde_unavailable", `${origin} issued no access token: status ${response.status}.`, {
      status: response.status,
    });
  }
  return { token: answer.data.access_token, issuedAt, expiresAt: issuedAt + lifetimeOf(answer.data.expires_in) };
}

/** Creates a store that keeps the token in the memory of this process. */
export function createMemoryTokenStore(): AccessTokenStore {
  let held: AccessToken | undefined;
  let running: Promise<void> | undefined;
  return {
    read: async () => held,
    write: async (token) => {
      held = token;
    },
    forget: async (token) => {
      if (held?.token === token) held = undefined;
    },
    exclusively: async (task) => {
      if (running !== undefined) {
        await running.catch(() => undefined);
        return false;
      }
      running = task().finally(() => {
        running = undefined;
      });
      await running;
      return true;
    },
  };
}
