import { createHash, randomUUID } from "node:crypto";
import { featureFlagsFor } from "../kinde/feature-flags.ts";
import { fullName, membershipsOf, permissionsOf, rolesOf } from "../kinde/truth.ts";
import { userOf, type World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";
import type { FeatureFlag, FeatureFlagValue } from "../truth-types.ts";
import type { Keys } from "./keys.ts";

export const ACCESS_TOKEN_SECONDS = 86_400;
const ID_TOKEN_SECONDS = 3600;

/** Scopes an application can request when a user signs in. */
export const USER_SCOPES = ["openid", "profile", "email", "phone", "offline", "offline_access"] as const;

export interface UserTokenOptions {
  world: World;
  keys: Keys;
  issuer: () => string;
  now: () => number;
}

/** What an access token is issued for. */
export interface AccessTokenRequest {
  userId: string;
  clientId: string;
  /** Default: the user's first organization. */
  orgCode?: string | undefined;
  scopes?: readonly string[];
  audience?: readonly string[];
}

export interface IssuedToken {
  token: string;
  id: string;
  /** Seconds since the epoch. */
  expires: number;
}

/** Claims about the user, as they were at the sign-in: a refreshed ID token repeats them. */
export type ProfileClaims = Readonly<Record<string, unknown>>;

/** Creates the tokens of signed-in users, signed with the key that signs events, as in Kinde. */
export interface UserTokens {
  /** @throws EmulatorError `unknown_user` */
  access(request: AccessTokenRequest): Promise<IssuedToken>;
  /** @throws EmulatorError `unknown_user` */
  profile(userId: string, scopes?: readonly string[]): ProfileClaims;
  id(request: {
    profile: ProfileClaims;
    clientId: string;
    accessToken: string;
    authTime: number;
    nonce?: string | undefined;
  }): Promise<string>;
}

export function createUserTokens({ world, keys, issuer, now }: UserTokenOptions): UserTokens {
  const seconds = () => Math.floor(now() / 1000);
  return {
    access: async ({
      userId,
      clientId,
      orgCode,
      scopes = ["openid", "profile", "email", "offline"],
      audience = [],
    }) => {
      const user = userOf(world, userId);
      const memberships = membershipsOf(world.catalogue, user);
      const membership = orgCode === undefined ? memberships[0] : memberships.find(({ code }) => code === orgCode);
      const iat = seconds();
      const id = randomUUID();
      const expires = iat + ACCESS_TOKEN_SECONDS;
      const token = await keys.sign({
        aud: audience,
        azp: clientId,
        exp: expires,
        feature_flags: flagClaims(featureFlagsFor(world, user, membership?.code)),
        iat,
        iss: issuer(),
        jti: id,
        org_code: membership?.code ?? null,
        permissions: membership ? permissionsOf(world.catalogue, membership).map(({ key }) => key) : [],
        roles: membership ? rolesOf(world.catalogue, membership).map(({ id, key, name }) => ({ id, key, name })) : [],
        scp: scopes,
        sub: user.id,
        user_properties: publicProperties(world, user),
      });
      return { token, id, expires };
    },
    profile: (userId, scopes = USER_SCOPES) => {
      const user = userOf(world, userId);
      return withoutEmpty({
        sub: user.id,
        org_codes: membershipsOf(world.catalogue, user).map(({ code }) => code),
        updated_at: seconds(),
        user_properties: publicProperties(world, user),
        ...(scopes.includes("email") && { email: user.email, email_verified: user.email === null ? null : true }),
        ...(scopes.includes("phone") && { phone_number: user.phone }),
        ...(scopes.includes("profile") && {
          family_name: user.lastName,
          given_name: user.firstName,
          name: fullName(user),
          picture: user.picture,
          preferred_username: user.username,
        }),
      });
    },
    id: ({ profile, clientId, accessToken, authTime, nonce }) => {
      const iat = seconds();
      return keys.sign({
        ...profile,
        at_hash: createHash("sha256").update(accessToken).digest().subarray(0, 16).toString("base64url"),
        aud: [clientId],
        auth_time: authTime,
        azp: clientId,
        exp: iat + ID_TOKEN_SECONDS,
        iat,
        iss: issuer(),
        jti: randomUUID(),
        ...(nonce !== undefined && { nonce }),
      });
    },
  };
}

/** Private properties appear in no token. */
function publicProperties({ catalogue }: World, { properties }: UserState): Record<string, { v: string }> {
  const shown = Object.entries(properties).filter(([key]) => catalogue.properties.get(key)?.isPrivate === false);
  return Object.fromEntries(shown.map(([key, v]) => [key, { v }]));
}

const TYPE_LETTERS = { str: "s", int: "i", bool: "b" } as const;

const flagClaims = (flags: readonly { flag: FeatureFlag; value: FeatureFlagValue }[]) =>
  Object.fromEntries(flags.map(({ flag, value }) => [flag.key, { t: TYPE_LETTERS[flag.type], v: value }]));

/** OpenID Connect omits claims without a value. */
const withoutEmpty = (claims: Record<string, unknown>): ProfileClaims =>
  Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null && value !== ""));
