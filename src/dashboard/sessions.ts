import { hash, randomBytes } from "node:crypto";
import type { Context } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import type { DashboardToken, Role } from "../setting-values.ts";

/** Who uses the dashboard. */
export interface Operator {
  /** Name of the token, or Kinde's id of the user. */
  name: string;
  role: Role;
}

/** An operator who is signed in. */
export interface Session extends Operator {
  id: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/** The sessions of operators. */
export interface Sessions {
  /** Begins a session in a cookie. `token` is the one that signed in; absent for a user of Kinde. */
  begin(context: Context, operator: Operator, token?: DashboardToken): Promise<void>;
  /**
   * Returns the session of a request; `undefined` if there is none, or it is over, forged or signed out.
   *
   * @throws if Redis does not answer
   */
  read(context: Context): Promise<Session | undefined>;
  /** Ends a session for every holder of its cookie. */
  end(context: Context, session: Session): Promise<void>;
}

/** Options for {@link createSessions}. */
export interface SessionsOptions {
  redis: RedisClient;
  keys: Pick<Keys, "dashboard">;
  /** Signs the cookies: the same in all processes. */
  secret: Uint8Array<ArrayBuffer>;
  tokens: readonly DashboardToken[];
  /** Whether users of Kinde can sign in. */
  withKinde: boolean;
  lifetimeMs: number;
  /** Whether browsers use https. */
  secure: boolean;
  now: () => number;
}

/** Sessions that were signed out and are remembered until they would have expired. */
const mostEnded = 10_000;

const payloadSchema = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(["view", "operate"]),
  via: z.string(),
  expiresAt: z.number(),
});

/**
 * Creates the sessions. A cookie holds its session, signed, so that Redis holds nothing of a session but its end. Removing
 * a token from the settings ends its sessions, and its role is the one of the settings.
 */
export function createSessions(options: SessionsOptions): Sessions {
  const { redis, keys, secret, tokens, withKinde, lifetimeMs, secure, now } = options;
  const endedKey = keys.dashboard("ended");
  const name = secure ? "kindling" : "kindling-dashboard";
  const cookie = {
    path: "/",
    httpOnly: true,
    sameSite: "Strict",
    ...(secure && { prefix: "host" as const, secure }),
  } as const;

  const allowed = (payload: z.infer<typeof payloadSchema>): Role | undefined => {
    if (payload.via === "kinde") return withKinde ? payload.role : undefined;
    return tokens.find((token) => token.name === payload.name && fingerprint(token) === payload.via)?.role;
  };

  return {
    async begin(context, operator, token) {
      const payload = {
        id: randomBytes(16).toString("base64url"),
        ...operator,
        via: token === undefined ? "kinde" : fingerprint(token),
        expiresAt: now() + lifetimeMs,
      };
      const value = Buffer.from(JSON.stringify(payload)).toString("base64url");
      await setSignedCookie(context, name, value, secret, { ...cookie, maxAge: Math.floor(lifetimeMs / 1000) });
    },

    async read(context) {
      const value = await getSignedCookie(context, secret, name, secure ? "host" : undefined);
      if (!value) return undefined;
      const payload = payloadSchema.safeParse(parseJson(value)).data;
      const role = payload && allowed(payload);
      if (payload === undefined || role === undefined || payload.expiresAt <= now()) return undefined;
      if ((await redis.zscore(endedKey, payload.id)) !== null) return undefined;
      return { id: payload.id, name: payload.name, role, expiresAt: payload.expiresAt };
    },

    async end(context, { id, expiresAt }) {
      deleteCookie(context, name, cookie);
      await redis
        .multi()
        .zadd(endedKey, expiresAt, id)
        .zremrangebyscore(endedKey, "-inf", now())
        .zremrangebyrank(endedKey, 0, -mostEnded - 1)
        .exec();
    },
  };
}

function fingerprint({ value }: DashboardToken): string {
  return hash("sha256", value, "base64url").slice(0, 16);
}

function parseJson(value: string): unknown {
  try {
    return JSON.parse(Buffer.from(value, "base64url").toString());
  } catch {
    return undefined;
  }
}
