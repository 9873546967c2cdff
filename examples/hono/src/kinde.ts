import { createKindeServerClient, GrantType, type SessionManager } from "@kinde-oss/kinde-typescript-sdk";
import { type Context, Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";

const { env } = process;
const site = env.KINDE_SITE_URL ?? "http://localhost:5173";
const home = env.KINDE_POST_LOGIN_REDIRECT_URL ?? site;

const client = createKindeServerClient(GrantType.AUTHORIZATION_CODE, {
  authDomain: env.KINDE_ISSUER_URL ?? "",
  clientId: env.KINDE_CLIENT_ID ?? "",
  clientSecret: env.KINDE_CLIENT_SECRET ?? "",
  redirectURL: env.KINDE_REDIRECT_URL ?? `${site}/api/auth/kinde_callback`,
  logoutRedirectURL: env.KINDE_POST_LOGOUT_REDIRECT_URL ?? site,
});

/** The caller's access token. Throws for visitors who are not signed in. */
export const token = (c: Context) => client.getToken(session(c));

/** Signing in and out, with Kinde's SDK. */
export const kinde = new Hono()
  .get("/login", async (c) => c.redirect((await client.login(session(c))).href))
  .get("/register", async (c) => c.redirect((await client.register(session(c))).href))
  .get("/logout", async (c) => c.redirect((await client.logout(session(c))).href))
  .get("/kinde_callback", async (c) => {
    await client.handleRedirectToApp(session(c), new URL(c.req.url));
    return c.redirect(home);
  });

/** The SDK's storage: cookies that scripts cannot read. */
function session(c: Context): SessionManager {
  const options = { path: "/", httpOnly: true, sameSite: "Lax", secure: site.startsWith("https:") } as const;
  const remove = (name: string) => void deleteCookie(c, name, options);
  return {
    getSessionItem: async (name) => getCookie(c, name),
    setSessionItem: async (name, value) => {
      setCookie(c, name, typeof value === "string" ? value : JSON.stringify(value), options);
    },
    removeSessionItem: async (name) => remove(name),
    destroySession: async () => ["access_token", "id_token", "refresh_token", "user"].forEach(remove),
  };
}
