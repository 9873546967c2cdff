import { randomUUID } from "node:crypto";
import { membershipsOf, permissionsOf, rolesOf } from "../kinde/truth.ts";
import { userOf, type World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";
import type { Keys } from "./keys.ts";

const LIFETIME_SECONDS = 86_400;

export interface UserTokenOptions {
  world: World;
  keys: Keys;
  issuer: () => string;
  now: () => number;
}

/** Creates access and ID tokens of signed-in users, signed with the key that signs events, as in Kinde. */
export function createUserTokens({ world, keys, issuer, now }: UserTokenOptions) {
  const common = (user: UserState) => {
    const iat = Math.floor(now() / 1000);
    const user_properties = Object.fromEntries(Object.entries(user.properties).map(([key, v]) => [key, { v }]));
    return { exp: iat + LIFETIME_SECONDS, iat, iss: issuer(), jti: randomUUID(), sub: user.id, user_properties };
  };

  return {
    accessToken: async (userId: string, { orgCode }: { orgCode?: string } = {}): Promise<string> => {
      const user = userOf(world, userId);
      const memberships = membershipsOf(world.catalogue, user);
      const membership = orgCode === undefined ? memberships[0] : memberships.find(({ code }) => code === orgCode);
      return keys.sign({
        ...common(user),
        aud: [],
        azp: "app_client",
        feature_flags: { theme: { t: "s", v: "dark" }, beta: { t: "b", v: false } },
        org_code: membership?.code ?? null,
        permissions: membership ? permissionsOf(world.catalogue, membership).map(({ key }) => key) : [],
        roles: membership ? rolesOf(world.catalogue, membership).map(({ id, key, name }) => ({ id, key, name })) : [],
        scp: ["openid", "profile", "email", "offline"],
      });
    },
    idToken: async (userId: string): Promise<string> => {
      const user = userOf(world, userId);
      const claims = common(user);
      return keys.sign({
        ...claims,
        at_hash: randomUUID().replaceAll("-", "").slice(0, 22),
        aud: ["app_client"],
        auth_time: claims.iat,
        azp: "app_client",
        email: user.email,
        email_verified: true,
        family_name: user.lastName,
        given_name: user.firstName,
        name: [user.firstName, user.lastName].filter(Boolean).join(" "),
        org_codes: membershipsOf(world.catalogue, user).map(({ code }) => code),
        updated_at: claims.iat,
      });
    },
  };
}
