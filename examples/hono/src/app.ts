import { Hono } from "hono";
import { csrf } from "hono/csrf";
import { html } from "hono/html";
import { kindlingHono } from "kindling/hono";
import { kinde, token } from "./kinde.js";
import { kindling } from "./kindling.js";

const flags = kindlingHono({ kindling, token });
const signIn = "/api/auth/login";
const signedIn = flags.require(() => true, { signIn });
const onboarded = flags.require("onboarded", { signIn, redirect: "/welcome" });
const admin = flags.require(({ admin, suspended }) => admin && !suspended, { signIn });

export const app = new Hono()
  .use(csrf(), flags)
  .route("/api/auth", kinde)
  .get("/", async (c) => {
    const { userId, flags } = await c.var.kindling();
    if (userId === null) return c.html(page("Notes", html`<a href="${signIn}">Sign in</a>`));
    return c.html(page("Notes", html`<p>Your plan: ${flags.tier}.</p><a href="/notes">Open your notes</a>`));
  })
  .get("/flags", async (c) => c.json((await c.var.kindling()).flags))
  .get("/welcome", signedIn, (c) => {
    return c.html(page("Welcome", html`<form method="post"><button>Start writing</button></form>`));
  })
  .post("/welcome", signedIn, async (c) => {
    const { userId } = await c.var.kindling();
    if (userId !== null) await kindling.setProperties(userId, { onboarded: true });
    return c.redirect("/notes", 303);
  })
  .get("/notes", onboarded, (c) => c.html(page("Your notes")))
  .get("/admin", admin, (c) => c.html(page("Everybody’s notes")));

function page(title: string, content: unknown = "") {
  return html`<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${content}</html>`;
}
