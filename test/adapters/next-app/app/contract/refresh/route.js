import { getKindeServerSession } from "@kinde-oss/kinde-auth-nextjs/server";

/** Refreshes the SDK's tokens and says whether the access token stayed the same. */
export async function GET() {
  const { getAccessTokenRaw, refreshTokens } = getKindeServerSession();
  const before = await getAccessTokenRaw();
  await refreshTokens();
  return Response.json({ same: (await getAccessTokenRaw()) === before });
}
