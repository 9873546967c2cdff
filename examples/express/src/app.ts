import { GrantType, setupKinde } from "@kinde-oss/kinde-node-express";
import express, { type Request } from "express";
import { type ForRequest, kindlingExpress } from "kindling/express";
import type definitions from "../kindling.flags.js";
import { kindling } from "./kindling.js";

declare global {
  namespace Express {
    interface Request {
      kindling: ForRequest<typeof definitions>;
    }
  }
}

const { env } = process;
const site = env.KINDE_SITE_URL ?? "http://localhost:5173";

export const app = express();

// Adds /login, /register, /logout and the callback, and keeps the tokens in the session.
setupKinde(
  {
    grantType: GrantType.AUTHORIZATION_CODE,
    issuerBaseUrl: env.KINDE_ISSUER_URL ?? "",
    clientId: env.KINDE_CLIENT_ID ?? "",
    secret: env.KINDE_CLIENT_SECRET ?? "",
    siteUrl: env.KINDE_POST_LOGIN_REDIRECT_URL ?? site,
    redirectUrl: env.KINDE_REDIRECT_URL ?? `${site}/api/auth/kinde_callback`,
    postLogoutRedirectUrl: env.KINDE_POST_LOGOUT_REDIRECT_URL ?? site,
    unAuthorisedUrl: site,
  },
  app,
);

const flags = kindlingExpress({
  kindling,
  token: (req: Request & { session?: { access_token?: string } }) => req.session?.access_token,
});
app.use(flags);

const signIn = "/login";
const signedIn = flags.require(() => true, { signIn });
const onboarded = flags.require("onboarded", { signIn, redirect: "/welcome" });
const admin = flags.require(({ admin, suspended }) => admin && !suspended, { signIn });

app.get("/", async (req, res) => {
  const { userId, flags } = await req.kindling();
  if (userId === null) res.send(page("Notes", `<a href="${signIn}">Sign in</a>`));
  else res.send(page("Notes", `<p>Your plan: ${flags.tier}.</p><a href="/notes">Open your notes</a>`));
});
app.get("/flags", async (req, res) => {
  res.json((await req.kindling()).flags);
});
app.get("/welcome", signedIn, (_req, res) => {
  res.send(page("Welcome", '<form method="post"><button>Start writing</button></form>'));
});
app.post("/welcome", signedIn, async (req, res) => {
  const { userId } = await req.kindling();
  if (userId !== null) await kindling.setProperties(userId, { onboarded: true });
  res.redirect(303, "/notes");
});
app.get("/notes", onboarded, (_req, res) => {
  res.send(page("Your notes"));
});
app.get("/admin", admin, (_req, res) => {
  res.send(page("Everybody’s notes"));
});

function page(title: string, content = "") {
  return `<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${content}</html>`;
}
