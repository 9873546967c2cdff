import type { Emulator } from "kinde-emulator";

/** Client id of the application that {@link userToken} signs for. */
export const clientId = "an_application_of_ours";

/** Signs an access token as Kinde does; `claims` override single claims, `undefined` removes one. */
export function userToken(emulator: Emulator, userId: string, claims: Record<string, unknown> = {}): Promise<string> {
  const iat = Math.floor(Date.now() / 1000);
  return emulator.deliveries.sign({
    aud: [],
    azp: clientId,
    exp: iat + 86_400,
    iat,
    iss: emulator.url,
    jti: "0b5b1a7e-8a3c-4a52-9d6e-5f1c8f0f6d10",
    org_code: null,
    permissions: [],
    scp: ["openid", "profile", "email", "offline"],
    sub: userId,
    ...claims,
  });
}
