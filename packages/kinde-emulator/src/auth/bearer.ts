import type { JWTPayload } from "jose";
import type { World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";
import type { Grants } from "./grants.ts";
import type { Keys } from "./keys.ts";

export interface BearerDeps {
  world: World;
  keys: Keys;
  grants: Grants;
  issuer: () => string;
  now: () => number;
}

/** An access token in effect. */
export interface BearerUser {
  user: UserState;
  orgCode: string | undefined;
  scopes: readonly string[];
}

/** Checks tokens that the emulator issued. */
export function createBearer({ world, keys, grants, issuer, now }: BearerDeps) {
  /** Returns the claims of an access token that is valid and not revoked. */
  const claimsOf = async (token: string): Promise<JWTPayload | undefined> => {
    const claims = await keys.verify(token, { issuer: issuer(), now: now() }).catch(() => undefined);
    // The same key signs events and ID tokens, neither of which has `scp`.
    if (!claims || !Array.isArray(claims.scp) || grants.isRevoked(String(claims.jti))) return undefined;
    return claims;
  };
  return {
    claimsOf,
    /** Returns the user of an `Authorization` header, or undefined if the token is not a valid one of an existing user. */
    userOf: async (authorization: string | undefined): Promise<BearerUser | undefined> => {
      const token = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
      const claims = token === undefined ? undefined : await claimsOf(token);
      const user = claims?.sub === undefined ? undefined : world.users.get(claims.sub);
      if (!claims || !user) return undefined;
      return {
        user,
        orgCode: typeof claims.org_code === "string" ? claims.org_code : undefined,
        scopes: (claims.scp as unknown[]).map(String),
      };
    },
  };
}

export type Bearer = ReturnType<typeof createBearer>;
