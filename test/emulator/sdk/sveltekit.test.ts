import { expect, it } from "vitest";
import { createBrowser } from "../../support/browser.ts";
import { startSvelteKitApp } from "../../support/sveltekit-app.ts";
import { useCleanup, useEmulator } from "../support.ts";

const start = useEmulator();
const cleanup = useCleanup();

it.each([
  { flow: "a secret", env: {} },
  { flow: "PKCE", env: { KINDE_AUTH_WITH_PKCE: "true" } },
])(
  "@kinde-oss/kinde-auth-sveltekit signs in with $flow, refreshes and signs out",
  { timeout: 90_000 },
  async ({ env }) => {
    const emulator = await start();
    const user = emulator.kinde.createUser({ email: "ada@example.com", firstName: "Ada" });
    emulator.signInAs(user.id);
    const app = await startSvelteKitApp(emulator, env);
    cleanup(app.close);
    const browser = createBrowser();
    const signedIn = async () => {
      const { status, body } = await browser.open(`${app.url}/me`);
      return { status, body: status === 200 ? JSON.parse(body) : body };
    };

    expect((await signedIn()).status).toBe(401);
    const landed = await browser.open(`${app.url}/api/auth/login`);
    expect(
      landed.visited.map((url) => new URL(url).pathname),
      app.output(),
    ).toEqual(["/api/auth/login", "/oauth2/auth", "/api/auth/kinde_callback", "/"]);
    expect((await signedIn()).body).toMatchObject({ user: { id: user.id, email: "ada@example.com" } });
    expect(JSON.parse((await browser.open(`${app.url}/me?refresh`)).body)).toMatchObject({ same: true });
    expect((await signedIn()).status).toBe(200);
    const left = await browser.open(`${app.url}/api/auth/logout`);
    expect(left.visited.map((url) => new URL(url).pathname)).toContain("/logout");
    expect(left.url.href).toBe(`${app.url}/`);
    expect((await signedIn()).status).toBe(401);
  },
);
