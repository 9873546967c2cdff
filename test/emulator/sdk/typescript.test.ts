import { createKindeServerClient, GrantType, type SessionManager } from "@kinde-oss/kinde-typescript-sdk";
import { decodeJwt } from "jose";
import type { Emulator } from "kinde-emulator";
import { describe, expect, it } from "vitest";
import { createBrowser } from "../../support/browser.ts";
import { useEmulator } from "../support.ts";

const start = useEmulator();
const APP = "http://localhost:3999";

function memorySession(): SessionManager {
  const items = new Map<string, unknown>();
  return {
    getSessionItem: async (key) => items.get(key) ?? null,
    setSessionItem: async (key, value) => void items.set(key, value),
    removeSessionItem: async (key) => void items.delete(key),
    destroySession: async () => items.clear(),
  };
}

function clientsOf(emulator: Emulator) {
  const [application] = emulator.applications.list();
  const config = {
    authDomain: emulator.url,
    clientId: application?.clientId ?? "",
    redirectURL: `${APP}/callback`,
    logoutRedirectURL: APP,
  };
  return {
    code: createKindeServerClient(GrantType.AUTHORIZATION_CODE, {
      ...config,
      clientSecret: application?.clientSecret ?? "",
    }),
    pkce: createKindeServerClient(GrantType.PKCE, config),
  };
}

describe("@kinde-oss/kinde-typescript-sdk", () => {
  it.each(["code", "pkce"] as const)("signs in, refreshes and signs out (%s)", async (flow) => {
    let now = Date.now();
    const emulator = await start({ now: () => now });
    const { code } = emulator.kinde.createOrganization();
    emulator.kinde.createRole("admin", ["admin:access"]);
    emulator.kinde.createFeatureFlag("beta", true);
    const user = emulator.kinde.createUser({
      email: "ada@example.com",
      firstName: "Ada",
      lastName: "Lovelace",
      organizations: [{ code, roles: ["admin"] }],
    });
    emulator.signInAs(user.id);
    const client = clientsOf(emulator)[flow];
    const session = memorySession();
    const browser = createBrowser();

    const atKinde = await browser.step(await client.login(session));
    await client.handleRedirectToApp(session, new URL(atKinde.location ?? ""));
    expect(await client.isAuthenticated(session)).toBe(true);
    expect(await client.getUser(session)).toMatchObject({ id: user.id, email: "ada@example.com", given_name: "Ada" });
    expect(await client.getUserProfile(session)).toMatchObject({ id: user.id, name: "Ada Lovelace" });
    expect(await client.getOrganization(session)).toEqual({ orgCode: code });
    expect(await client.getPermission(session, "admin:access")).toEqual({ orgCode: code, isGranted: true });
    expect(await client.getBooleanFlag(session, "beta")).toBe(true);

    const before = await client.getToken(session);
    emulator.kinde.setRoles(user.id, code, []);
    await client.refreshTokens(session);
    expect(await client.getToken(session)).toBe(before);
    now += 86_400_000;
    const { access_token } = await client.refreshTokens(session, false);
    expect(access_token).not.toBe(before);
    expect(decodeJwt(access_token)).toMatchObject({ permissions: [], org_code: code });

    const signedOut = await browser.step(await client.logout(session));
    expect(new URL(signedOut.location ?? "").origin).toBe(APP);
    expect(await client.isAuthenticated(session)).toBe(false);
    expect(browser.cookies("127.0.0.1").size).toBe(0);
  });

  it("signs up, creates an organization and reads the invited organization's code", async () => {
    const emulator = await start();
    const { code } = clientsOf(emulator);
    const session = memorySession();
    const browser = createBrowser();
    const url = await code.createOrg(session, { org_name: "Analytical Engines" });
    const form = new URLSearchParams({ create: "1", email: "ada@example.com", organization: "Analytical Engines" });
    const { location } = await browser.step(url, { method: "POST", body: form });
    await code.handleRedirectToApp(session, new URL(location ?? ""));
    const [organization] = emulator.kinde.organizations();
    expect(organization?.name).toBe("Analytical Engines");
    expect(await code.getOrganization(session)).toEqual({ orgCode: organization?.code });
    expect((await code.getUser(session)).email).toBe("ada@example.com");
  });
});
