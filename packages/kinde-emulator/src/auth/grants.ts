import { BoundedMap } from "../state/bounded-map.ts";
import type { SessionPolicy } from "../state/catalogue.ts";
import { newId } from "../state/random.ts";
import type { IssuedToken, ProfileClaims } from "./user-tokens.ts";

const CODE_SECONDS = 60;
const REFRESH_TOKEN_SECONDS = 15 * 86_400;
const SESSION_SECONDS = 15 * 86_400;
const KEPT = 10_000;

/** A browser's session at the emulator. It signs the user in to further applications without a page. */
export interface Session {
  readonly id: string;
  /** Shown by the Management API, unlike `id`, which is the browser's secret. */
  readonly publicId: string;
  readonly userId: string;
  /** Organization of the latest sign-in. */
  orgCode: string | undefined;
  /** Application that started the session. */
  readonly clientId: string;
  /** Seconds since the epoch. */
  readonly authTime: number;
  /** Seconds since the epoch. */
  readonly expires: number;
  /** Whether it outlives the browser. */
  readonly isPersistent: boolean;
  /** Time of the latest sign-in, in seconds since the epoch. */
  updated: number;
  readonly first: Visitor;
  last: Visitor;
}

/** A browser, as its request shows it. */
export interface Visitor {
  readonly address: string;
  readonly userAgent: string;
}

/** A session to start. */
export interface NewSession {
  userId: string;
  orgCode: string | undefined;
  clientId: string;
  visitor: Visitor;
  policy: SessionPolicy;
}

/** What a user granted an application by signing in. */
export interface Authorization {
  readonly clientId: string;
  readonly userId: string;
  readonly orgCode: string | undefined;
  readonly scopes: readonly string[];
  readonly audience: readonly string[];
  readonly redirectUri: string;
  readonly nonce: string | undefined;
  /** The S256 code challenge. Without one, the application authenticates with its secret. */
  readonly codeChallenge: string | undefined;
  readonly authTime: number;
  readonly profile: ProfileClaims;
  readonly sessionId: string;
}

/** An authorization whose code was exchanged for tokens. */
export interface Grant {
  readonly authorization: Authorization;
  /** Kinde issues the same access token until it expires or is revoked. */
  accessToken: IssuedToken | undefined;
  refreshToken: string | undefined;
}

/** Sessions, authorization codes, refresh tokens and revoked access tokens. Each kind keeps its last 10,000. */
export interface Grants {
  startSession(session: NewSession): Session;
  session(id: string | undefined): Session | undefined;
  /** Returns the sessions of a user that have not ended. */
  sessionsOf(userId: string): Session[];
  /** Notes a sign-in by an existing session. */
  resumeSession(session: Session, latest: Pick<NewSession, "orgCode" | "visitor">): void;
  /** Ends a session, the grants made under it and their tokens. */
  endSession(id: string): void;
  issueCode(authorization: Authorization): string;
  /** Redeems a code once. A second attempt revokes what the first one issued. */
  redeemCode(code: string): Grant | undefined;
  /** Issues a refresh token. It replaces the grant's previous one. */
  issueRefreshToken(grant: Grant): string;
  grantOf(refreshToken: string): Grant | undefined;
  revokeRefreshToken(token: string): void;
  revokeAccessToken(id: string): void;
  isRevoked(accessTokenId: string): boolean;
  /** Makes the next refresh of a user's grants issue an access token with current claims. */
  refreshClaims(userId: string): void;
}

export function createGrants(now: () => number): Grants {
  const seconds = () => Math.floor(now() / 1000);
  const sessions = new BoundedMap<string, Session>(KEPT);
  const codes = new BoundedMap<string, { grant: Grant; expires: number; used: boolean }>(KEPT);
  const refreshTokens = new BoundedMap<string, { grant: Grant; expires: number }>(KEPT);
  const revoked = new BoundedMap<string, true>(KEPT);

  const end = (grant: Grant) => {
    if (grant.accessToken) revoked.set(grant.accessToken.id, true);
    if (grant.refreshToken !== undefined) refreshTokens.delete(grant.refreshToken);
    grant.accessToken = undefined;
  };

  return {
    startSession: ({ userId, orgCode, clientId, visitor, policy }) => {
      const at = seconds();
      const lifetime = policy.usesLifetime ? (policy.lifetimeSeconds ?? SESSION_SECONDS) : SESSION_SECONDS;
      const session: Session = {
        ...{ id: newId.session(), publicId: newId.sessionId(), userId, orgCode, clientId },
        ...{ authTime: at, updated: at, expires: at + lifetime },
        isPersistent: !policy.usesPersistence || (policy.isPersistent ?? true),
        ...{ first: visitor, last: visitor },
      };
      sessions.set(session.id, session);
      return session;
    },
    session: (id) => {
      const session = id === undefined ? undefined : sessions.get(id);
      return session && session.expires > seconds() ? session : undefined;
    },
    sessionsOf: (userId) =>
      [...sessions.values()].filter((session) => session.userId === userId && session.expires > seconds()),
    resumeSession: (session, { orgCode, visitor }) => {
      session.orgCode = orgCode;
      session.last = visitor;
      session.updated = seconds();
    },
    endSession: (id) => {
      sessions.delete(id);
      for (const { grant } of [...codes.values(), ...refreshTokens.values()])
        if (grant.authorization.sessionId === id) end(grant);
      for (const [code, { grant }] of codes) if (grant.authorization.sessionId === id) codes.delete(code);
    },
    issueCode: (authorization) => {
      const code = newId.code();
      codes.set(code, {
        grant: { authorization, accessToken: undefined, refreshToken: undefined },
        expires: seconds() + CODE_SECONDS,
        used: false,
      });
      return code;
    },
    redeemCode: (code) => {
      const entry = codes.get(code);
      if (!entry || entry.expires <= seconds()) return undefined;
      if (entry.used) {
        end(entry.grant);
        return undefined;
      }
      entry.used = true;
      return entry.grant;
    },
    issueRefreshToken: (grant) => {
      if (grant.refreshToken !== undefined) refreshTokens.delete(grant.refreshToken);
      const token = newId.refreshToken();
      grant.refreshToken = token;
      refreshTokens.set(token, { grant, expires: seconds() + REFRESH_TOKEN_SECONDS });
      return token;
    },
    grantOf: (token) => {
      const entry = refreshTokens.get(token);
      return entry && entry.expires > seconds() ? entry.grant : undefined;
    },
    revokeRefreshToken: (token) => void refreshTokens.delete(token),
    revokeAccessToken: (id) => {
      revoked.set(id, true);
      for (const { grant } of [...refreshTokens.values(), ...codes.values()])
        if (grant.accessToken?.id === id) grant.accessToken = undefined;
    },
    isRevoked: (id) => revoked.has(id),
    refreshClaims: (userId) => {
      for (const { grant } of refreshTokens.values())
        if (grant.authorization.userId === userId) grant.accessToken = undefined;
    },
  };
}
