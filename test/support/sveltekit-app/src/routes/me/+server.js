import { kindeAuthClient } from "@kinde-oss/kinde-auth-sveltekit";
import { json } from "@sveltejs/kit";

/** The signed-in user; with `?refresh`, after a refresh, and whether the access token stayed the same. */
export async function GET({ request, url }) {
  if (!(await kindeAuthClient.isAuthenticated(request))) return json({ error: "unauthorised" }, { status: 401 });
  const before = await kindeAuthClient.getToken(request);
  const { access_token } = url.searchParams.has("refresh")
    ? await kindeAuthClient.refreshTokens(request)
    : { access_token: before };
  return json({ user: await kindeAuthClient.getUser(request), same: access_token === before });
}
