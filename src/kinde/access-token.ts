import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { KindeError, ThrottledError } from "../errors.ts";
import { pauseOf, withDeadline } from "./request.ts";

/** An access token for the Management API; times in milliseconds since the epoch. */
export interface AccessToken {
  token: string;
  issuedAt: number;
  expiresAt: number;
}

/** Where the token is kept: in Redis for the whole fleet, or in the memory of one process. */
export interface AccessTokenStore {
  read(): Promise<AccessToken | undefined>;
  write(token: AccessToken): Promise<void>;
  /** Forgets the token, if it is still this one. */
  forget(token: string): Promise<void>;
  /** Runs the task if nobody else does so now; answers whether it ran. */
  exclusively(task: () => Promise<void>): Promise<boolean>;
}

/** The one machine-to-machine token. Kinde counts and bills each that it issues. */
export interface AccessTokens {
  /** @throws {KindeError} `kinde_unauthorized` when the credentials are refused, `kinde_unavailable`; {ThrottledError} */
  get(signal: AbortSignal): Promise<string>;
  /**
   * Says that Kinde refused this token, so that the next `get` brings another.
   *
   * @throws {KindeError} `kinde_unauthorized` when it was issued just now: another would fare no better
   */
  refuse(token: string): Promise<void>;
  /**
   * Says that this token lacks a scope. Scopes are in a token from its issue on, so only one issued since may have it:
   * the next `get` brings the one that the fleet has gone over to, or a new one if it has forgotten this one. Otherwise
   * nothing changes: a scope that stays missing buys no tokens.
   */
  doubt(token: string): Promise<void>;
}

/** What getting a token needs. */
export interface AccessTokensOptions {
  store: AccessTokenStore;
  fetch: typeof fetch;
  now: () => number;
  origin: string;
  clientId: string;
  clientSecret: string;
  audience: string;
  timeoutMs: number;
}

/** A refused token younger than this is not replaced: the configuration is at fault, and tokens cost money. */
const tooYoungToReplaceMs = 60_000;

/** Refused credentials are not offered again for so long, in milliseconds, however many jobs need a token. */
const refusalHoldsMs = 5_000;

/** Tokens by client credentials: https://docs.kinde.com/kinde-apis/management/ */
export function createAccessTokens(options: AccessTokensOptions): AccessTokens {
  const { store, now, timeoutMs } = options;
  let held: AccessToken | undefined;
  /** A token that could not be put into the store: that it is not there tells nothing. */
  let unshared: string | undefined;
  let refusal: { error: KindeError; at: number } | undefined;

  // Renewed in the last tenth of its life, a minute at most, by whoever gets there first; the others use it meanwhile.
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
        // The one before us may have put a new one there since we looked.
        const latest = await store.read();
        issued = latest !== undefined && isFresh(latest) ? latest : await requestToken(options, signal);
        // Kinde has billed it: it serves this process even if the others cannot be told of it.
        if (issued !== latest) await share(issued);
      });
      await renewal.catch((error: unknown) => {
        if (stored === undefined || !isUsable(stored)) throw error;
      });
      if (issued !== undefined) return issued;
      if (stored !== undefined && isUsable(stored)) return stored;
      if (performance.now() > deadline) {
        throw new KindeError("kinde_unavailable", "No access token in time: another process is asking Kinde for it.");
      }
      await delay(50, undefined, { signal });
    }
  };

  return {
    async get(signal) {
      if (held !== undefined && isFresh(held)) return held.token;
      if (refusal !== undefined && now() - refusal.at < refusalHoldsMs) throw refusal.error;
      try {
        held = await renew(signal);
      } catch (error) {
        if (error instanceof KindeError && error.code === "kinde_unauthorized") refusal = { error, at: now() };
        throw error;
      }
      return held.token;
    },

    async refuse(token) {
      const refused = held?.token === token ? held : await store.read();
      held = undefined;
      if (refused?.token !== token) return;
      if (Math.abs(now() - refused.issuedAt) < tooYoungToReplaceMs)
        throw configurationError("a token it issued just now");
      await store.forget(token);
    },

    async doubt(token) {
      if (held?.token !== token) return;
      const stored = await store.read();
      if (stored === undefined ? token !== unshared : stored.token !== token) held = undefined;
    },
  };
}

function configurationError(what: string, cause?: unknown): KindeError {
  return new KindeError(
    "kinde_unauthorized",
    `Kinde refuses ${what}: check KINDE_DOMAIN, KINDE_MANAGEMENT_CLIENT_ID, KINDE_MANAGEMENT_CLIENT_SECRET and ` +
      "KINDE_AUDIENCE (with a custom domain the audience stays https://<name>.kinde.com/api), and that the " +
      "application is authorised for the Management API.",
    { cause },
  );
}

const answerSchema = z.object({ access_token: z.string().min(1), expires_in: z.coerce.number().positive() });

async function requestToken(options: AccessTokensOptions, signal: AbortSignal): Promise<AccessToken> {
  const { fetch, now, origin, clientId, clientSecret, audience, timeoutMs } = options;
  const issuedAt = now();
  let response: Response;
  let body: unknown;
  try {
    [response, body] = await withDeadline(signal, timeoutMs, async (deadline) => {
      const answer = await fetch(`${origin}/oauth2/token`, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "client_credentials",
          client_id: clientId,
          client_secret: clientSecret,
          audience,
        }),
        redirect: "error",
        signal: deadline,
      });
      return [answer, await answer.json()];
    });
  } catch (cause) {
    signal.throwIfAborted();
    throw new KindeError("kinde_unavailable", "Kinde gave no access token: no answer that can be read.", { cause });
  }
  if (response.status === 429) throw new ThrottledError(pauseOf(response.headers.get("ratelimit-reset")));
  if ([400, 401, 403].includes(response.status)) throw configurationError("the credentials");
  const answer = answerSchema.safeParse(body);
  if (!response.ok || !answer.success) {
    throw new KindeError("kinde_unavailable", `Kinde gave no access token: status ${response.status}.`, {
      status: response.status,
    });
  }
  return { token: answer.data.access_token, issuedAt, expiresAt: issuedAt + answer.data.expires_in * 1000 };
}

/** A token kept in the memory of one process. */
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
