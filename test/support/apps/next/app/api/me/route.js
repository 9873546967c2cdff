import { getKindeServerSession } from "@kinde-oss/kinde-auth-nextjs/server";

/** The signed-in user; with `?refresh`, after a refresh, and whether the access token stayed the same. */
export async function GET(request) {
  const { getAccessTokenRaw, getUser, isAuthenticated, refreshTokens } = getKindeServerSession();
  if (!(await isAuthenticated())) return Response.json({ error: "unauthorised" }, { status: 401 });
  const before = await getAccessTokenRaw();
  if (new URL(request.url).searchParams.has("refresh")) await refreshTokens();
  return Response.json({ user: await getUser(), same: (await getAccessTokenRaw()) === before });
}
