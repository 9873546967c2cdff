import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { RunningExample } from "../../examples/start-example.ts";
import { createBrowser } from "../support/browser.ts";

/** Options for {@link describeNotes}. */
export interface NotesOptions {
  /** Folder of the example. */
  name: string;
  /** Path below which its SDK signs people in. */
  auth: string;
  /** Returns the running example. */
  example: () => RunningExample;
}

/** Plays the app that the examples for Hono, Express and Next.js share, with Kinde's SDK and without JavaScript. */
export function describeNotes({ name, auth, example }: NotesOptions): void {
  describe(`the example ${name}`, { timeout: 60_000 }, () => {
    // Development servers compile a route when it is first asked for.
    beforeAll(async () => {
      const paths = ["/", "/flags", "/welcome", "/notes", "/admin", `${auth}/login`];
      await Promise.all(paths.map((path) => fetch(example().url + path, { redirect: "manual" })));
    }, 240_000);
    afterEach(() => example().kindling.emulator.signInAs(null));

    const visit = () => {
      const browser = createBrowser();
      const open = async (target: string, init?: RequestInit) => {
        const { url, status, body, visited } = await browser.open(new URL(target, example().url), init);
        const [, heading = ""] = /<h1>(.*?)<\/h1>/s.exec(body) ?? [];
        return { url, path: url.pathname, status, heading, body, visited };
      };
      return {
        open,
        flags: async () => JSON.parse((await open("/flags")).body),
        /** Sends the form of a page, as a browser without JavaScript does. */
        submit: async (page: { url: URL; body: string }) => {
          const form = new FormData();
          for (const [input] of page.body.matchAll(/<input type="hidden"[^>]*>/g)) {
            const [name = "", value = ""] = ["name", "value"].map((key) => input.match(`${key}="(.*?)"`)?.[1]);
            form.set(name, value.replaceAll("&quot;", '"').replaceAll("&amp;", "&"));
          }
          return open(page.url.href, { method: "POST", body: form, headers: { origin: page.url.origin } });
        },
      };
    };
    const signIn = async (userId: string) => {
      const visitor = visit();
      example().kindling.emulator.signInAs(userId);
      return { ...visitor, landed: await visitor.open(`${auth}/login`) };
    };

    it("gives anonymous callers defaults and deny values, and sends them to sign in", async () => {
      const { open, flags } = visit();
      expect((await open("/")).body, example().output()).toContain("Sign in");
      expect(await flags()).toEqual({ onboarded: false, tier: "free", admin: false, suspended: true });
      for (const path of ["/notes", "/welcome", "/admin"]) {
        const { url, visited } = await open(path);
        expect(url.origin).toBe(example().kindling.emulator.url);
        expect(visited).toContain(`${example().url}${auth}/login`);
      }
    });

    it("knows the flags at the first request after sign-in, and what changes in Kinde later", async () => {
      const { open, flags, landed } = await signIn("kp_ada");
      expect(landed).toMatchObject({ path: "/", status: 200, body: expect.stringContaining("Your plan: free.") });
      expect(await flags()).toEqual({ onboarded: true, tier: "free", admin: true, suspended: false });
      const { kinde } = example().kindling.emulator;
      kinde.setProperties("kp_ada", { plan_tier: "pro" });
      await example().kindling.synced();
      expect((await open("/")).body).toContain("Your plan: pro.");
      expect(await open(`${auth}/logout`)).toMatchObject({ path: "/", body: expect.stringContaining("Sign in") });
      expect(await flags()).toMatchObject({ tier: "free", suspended: true });
    });

    it("takes a newcomer over the welcome page to the notes, at the very next request", async () => {
      const { open, submit } = visit();
      const signUp = await open(`${auth}/register`);
      const form = { create: "1", email: "grace@example.com", first_name: "Grace" };
      expect(await open(signUp.url.href, { method: "POST", body: new URLSearchParams(form) })).toMatchObject({
        path: "/",
      });
      const welcome = await open("/notes");
      expect(welcome).toMatchObject({ path: "/welcome", status: 200, heading: "Welcome" });
      expect(await submit(welcome)).toMatchObject({ path: "/notes", status: 200, heading: "Your notes" });
      expect(await open("/notes")).toMatchObject({ path: "/notes", heading: "Your notes" });
    });

    it("lets admins in and nobody else", async () => {
      expect(await (await signIn("kp_ada")).open("/admin")).toMatchObject({ status: 200, path: "/admin" });
      expect(await (await signIn("kp_bob")).open("/admin")).toMatchObject({ status: 403 });
      expect(await (await signIn("kp_carol")).open("/admin")).toMatchObject({ status: 403 });
    });

    it("takes a deleted user, whose token is still valid, for a visitor", async () => {
      const { open } = await signIn("kp_carol");
      example().kindling.emulator.kinde.deleteUser("kp_carol");
      await example().kindling.synced();
      expect((await open("/")).body).toContain("Sign in");
      expect((await open("/notes")).url.origin).toBe(example().kindling.emulator.url);
    });
  });
}
