import { createHash, randomBytes } from "node:crypto";
import { createRemoteJWKSet, decodeJwt, jwtVerify } from "jose";
import type { EmulatorOptions } from "kinde-emulator";
import { describe, expect, it } from "vitest";
import { createBrowser } from "../support/browser.ts";
import { appOf, CALLBACK } from "./oauth-app.ts";
import { useEmulator, useReceiver } from "./support.ts";

const start = useEmulator();
const receive = useReceiver();

async function signedIn(options: EmulatorOptions = {}, params: Record<string, string> = {}) {
  const emulator = await start(options);
  const user = emulator.kinde.createUser({ email: "ada@example.com", firstName: "Ada", lastName: "Lovelace" });
  const app = appOf(emulator);
  const browser = createBrowser();
  const callback = await app.choose(browser, user.id, params);
  const { body: tokens } = await app.exchange(callback?.code);
  return { emulator, user, app, browser, tokens };
}

describe("codes", () => {
  it("are exchanged once, by the application and for the callback URL they were issued for", async () => {
    const { app, browser, user, emulator } = await signedIn();
    const other = emulator.applications.create();
    const code = async () => (await app.choose(browser, user.id))?.code;
    expect(
      await app.exchange(await code(), { client_id: other.clientId, client_secret: other.clientSecret }),
    ).toMatchObject({ status: 400, body: { error: "invalid_grant" } });
    expect(await app.exchange(await code(), { ...app.credentials, redirect_uri: `${CALLBACK}/` })).toMatchObject({
      status: 400,
      body: { error: "invalid_grant" },
    });
    expect(await app.exchange(await code(), { ...app.credentials, client_secret: "wrong" })).toMatchObject({
      status: 401,
      body: { error: "invalid_client" },
    });
    const used = await code();
    const { body } = await app.exchange(used);
    expect((await app.exchange(used)).body.error).toBe("invalid_grant");
    expect((await app.refresh(body.refresh_token)).body.error).toBe("invalid_grant");
  });

  it("expire after a minute", async () => {
    let now = Date.now();
    const { app, browser, user } = await signedIn({ now: () => now });
    const callback = await app.choose(browser, user.id);
    now += 60_000;
    expect((await app.exchange(callback?.code)).body.error).toBe("invalid_grant");
  });

  it("need the secret, or the verifier of an S256 challenge", async () => {
    const { app, browser, user } = await signedIn();
    const verifier = randomBytes(32).toString("base64url");
    const code_challenge = createHash("sha256").update(verifier).digest("base64url");
    const pkce = { code_challenge, code_challenge_method: "S256" };
    const client_id = app.credentials.client_id;
    const code = async (params = {}) => (await app.choose(browser, user.id, params))?.code;
    expect((await app.exchange(await code(), { client_id })).status).toBe(401);
    expect((await app.exchange(await code(), { client_id, code_verifier: verifier })).body.error).toBe("invalid_grant");
    expect((await app.exchange(await code(pkce), { client_id, code_verifier: "wrong" })).body.error).toBe(
      "invalid_grant",
    );
    expect((await app.exchange(await code(pkce), app.credentials)).body.error).toBe("invalid_grant");
    const { status, body } = await app.exchange(await code(pkce), { client_id, code_verifier: verifier });
    expect(status).toBe(200);
    expect((await app.refresh(body.refresh_token, { client_id })).status).toBe(200);
  });
});

describe("requests to sign in", () => {
  it.each([
    ["an unknown client", { client_id: "unknown" }],
    ["a foreign callback URL", { redirect_uri: "https://evil.example/callback" }],
    ["a callback URL that only looks local", { redirect_uri: "http://localhost.evil.example/callback" }],
    ["a callback URL with a user name", { redirect_uri: "http://localhost@evil.example/" }],
    ["a script as callback URL", { redirect_uri: "javascript:alert(1)" }],
    ["no callback URL", { redirect_uri: "" }],
  ])("show an error page and never redirect for %s", async (_what, params) => {
    const emulator = await start();
    const { status, location } = await createBrowser().step(appOf(emulator).authUrl(params));
    expect({ status, location }).toEqual({ status: 400, location: null });
  });

  it.each([
    ["unsupported_response_type", { response_type: "token" }],
    ["invalid_request", { code_challenge: "x".repeat(43), code_challenge_method: "plain" }],
    ["invalid_request", { code_challenge: "short", code_challenge_method: "S256" }],
    ["invalid_request", { prompt: "consent" }],
    ["invalid_scope", { scope: "openid everything" }],
    ["login_required", { prompt: "none" }],
  ])("return %s to the application for %j", async (error, params) => {
    const emulator = await start();
    const callback = await appOf(emulator).authorize(createBrowser(), params);
    expect(callback).toMatchObject({ error, error_description: expect.any(String), state: "some-state" });
  });

  it("compare callback URLs of an application exactly", async () => {
    const emulator = await start({
      application: { callbackUrls: [CALLBACK], logoutUrls: ["https://app.example/bye"] },
    });
    const app = appOf(emulator);
    const { id } = emulator.kinde.createUser();
    expect(await app.choose(createBrowser(), id)).toMatchObject({ code: expect.any(String) });
    for (const redirect_uri of [`${CALLBACK}/`, `${CALLBACK}?x=1`, "http://localhost:3998/callback"])
      expect((await createBrowser().step(app.authUrl({ redirect_uri }))).status).toBe(400);
    const logout = (target: string) => createBrowser().step(`${emulator.url}/logout?redirect=${target}`);
    expect((await logout("https://app.example/bye")).location).toBe("https://app.example/bye");
    expect(await logout("http://localhost:3999/")).toMatchObject({ status: 400, location: null });
  });

  it("are refused as forms of a foreign page, which creates nobody", async () => {
    const emulator = await start();
    const body = new URLSearchParams({ create: "1" });
    const url = appOf(emulator).authUrl();
    for (const headers of [{ origin: "https://evil.example" }, { origin: "null" }, { "sec-fetch-site": "cross-site" }])
      expect((await createBrowser().step(url, { method: "POST", headers, body })).status).toBe(403);
    expect(emulator.kinde.userCount).toBe(0);
    const headers = { origin: emulator.url, "sec-fetch-site": "same-origin" };
    expect((await createBrowser().step(url, { method: "POST", headers, body })).status).toBe(303);
  });

  it("resume the browser's session, unless they ask for another user", async () => {
    const { app, browser, user } = await signedIn();
    const signedInAs = async (params: Record<string, string>) => (await app.authorize(browser, params))?.code;
    expect(await signedInAs({})).toBeDefined();
    expect(await signedInAs({ prompt: "none" })).toBeDefined();
    expect(await signedInAs({ login_hint: user.email ?? "" })).toBeDefined();
    for (const params of [
      { prompt: "login" },
      { prompt: "create" },
      { start_page: "registration" },
      { login_hint: "x@y.z" },
    ])
      expect(await signedInAs(params)).toBeUndefined();
    expect([...browser.cookies("127.0.0.1").keys()]).toEqual([expect.stringMatching(/^emulator_session_\d+$/)]);
  });
});

describe("tokens of signed-in users", () => {
  it("carry the documented claims, and verify against the key set", async () => {
    const now = Date.now();
    const emulator = await start({ now: () => now });
    const { kinde } = emulator;
    const app = appOf(emulator);
    const { code: first } = kinde.createOrganization();
    const { code } = kinde.createOrganization();
    kinde.createRole("admin", ["admin:access"]);
    kinde.createProperty("secret_note", { isPrivate: true });
    kinde.createFeatureFlag("theme", "light");
    kinde.createFeatureFlag("seats", 5);
    kinde.createFeatureFlag("beta", false);
    const { id } = kinde.createUser({
      email: "ada@example.com",
      firstName: "Ada",
      lastName: "Lovelace",
      picture: "https://img.example/ada.png",
      properties: { plan_tier: "pro", secret_note: "hidden" },
      organizations: [first, { code, roles: ["admin"] }],
    });
    kinde.setFeatureFlag("seats", 7);
    kinde.setFeatureFlag("theme", "dark", { organization: code });
    kinde.setFeatureFlag("beta", true, { user: id });
    const params = { org_code: code, nonce: "some-nonce", audience: "https://api.example" };
    const callback = await app.choose(createBrowser(), id, params);
    const { body } = await app.exchange(callback?.code);

    const verify = async (token: string, audience: string) => {
      const keys = createRemoteJWKSet(new URL(`${emulator.url}/.well-known/jwks`));
      return (await jwtVerify(token, keys, { issuer: emulator.url, audience, algorithms: ["RS256"] })).payload;
    };
    const iat = Math.floor(now / 1000);
    const clientId = app.credentials.client_id;
    expect(await verify(body.access_token, "https://api.example")).toEqual({
      aud: ["https://api.example"],
      azp: clientId,
      exp: iat + 86_400,
      feature_flags: { theme: { t: "s", v: "dark" }, seats: { t: "i", v: 7 }, beta: { t: "b", v: true } },
      iat,
      iss: emulator.url,
      jti: expect.any(String),
      org_code: code,
      permissions: ["admin:access"],
      roles: [{ id: expect.any(String), key: "admin", name: "admin" }],
      scp: ["openid", "profile", "email", "offline"],
      sub: id,
      user_properties: { plan_tier: { v: "pro" } },
    });
    expect(await verify(body.id_token, clientId)).toEqual({
      at_hash: createHash("sha256").update(body.access_token).digest().subarray(0, 16).toString("base64url"),
      aud: [clientId],
      auth_time: iat,
      azp: clientId,
      email: "ada@example.com",
      email_verified: true,
      exp: iat + 3600,
      family_name: "Lovelace",
      given_name: "Ada",
      iat,
      iss: emulator.url,
      jti: expect.any(String),
      name: "Ada Lovelace",
      nonce: "some-nonce",
      org_codes: [first, code],
      picture: "https://img.example/ada.png",
      sub: id,
      updated_at: iat,
      user_properties: { plan_tier: { v: "pro" } },
    });
    expect(body).toMatchObject({ expires_in: 86_400, scope: "openid profile email offline", token_type: "bearer" });
  });

  it("contain no profile, ID token or refresh token that was not requested", async () => {
    const { tokens } = await signedIn({}, { scope: "openid" });
    expect(tokens).not.toHaveProperty("refresh_token");
    expect(decodeJwt(tokens.id_token)).not.toHaveProperty("email");
    expect((await signedIn({}, { scope: "offline" })).tokens).not.toHaveProperty("id_token");
  });

  it("stay the same access token until it expires, while refresh tokens rotate", async () => {
    let now = Date.now();
    const { app, tokens, emulator, user } = await signedIn({ now: () => now });
    emulator.kinde.setProperties(user.id, { plan_tier: "pro" });
    now += 3_600_000;
    const { body: second } = await app.refresh(tokens.refresh_token);
    expect(second.access_token).toBe(tokens.access_token);
    expect(second.expires_in).toBe(86_400 - 3600);
    expect(second.refresh_token).not.toBe(tokens.refresh_token);
    expect((await app.refresh(tokens.refresh_token)).body.error).toBe("invalid_grant");

    now += 86_400_000;
    const { body: third } = await app.refresh(second.refresh_token);
    expect(third.access_token).not.toBe(tokens.access_token);
    expect(decodeJwt(third.access_token).user_properties).toEqual({ plan_tier: { v: "pro" } });
    // As old as the sign-in, although its lifetime starts again.
    expect(decodeJwt(third.id_token).user_properties).toEqual({});
    now += 15 * 86_400_000;
    expect((await app.refresh(third.refresh_token)).body.error).toBe("invalid_grant");
  });

  it("are renewed with current claims after revocation and after refresh_claims", async () => {
    const { app, tokens, emulator, user } = await signedIn();
    await app.post("/oauth2/revoke", { token: tokens.access_token, ...app.credentials });
    const { body: second } = await app.refresh(tokens.refresh_token);
    expect(second.access_token).not.toBe(tokens.access_token);
    const machine = await app.post("/oauth2/token", {
      grant_type: "client_credentials",
      client_id: emulator.clientId,
      client_secret: emulator.clientSecret,
      audience: emulator.audience,
    });
    const headers = { authorization: `Bearer ${machine.body.access_token}` };
    await fetch(`${emulator.url}/api/v1/users/${user.id}/refresh_claims`, { method: "POST", headers });
    const { body: third } = await app.refresh(second.refresh_token);
    expect(third.access_token).not.toBe(second.access_token);
    await app.post("/oauth2/revoke", { token: third.refresh_token, ...app.credentials });
    expect((await app.refresh(third.refresh_token)).body.error).toBe("invalid_grant");
  });

  it("end when the user signs out, is suspended or deleted", async () => {
    const { app, tokens, emulator, browser, user } = await signedIn();
    const profile = (token: string) =>
      fetch(`${emulator.url}/oauth2/v2/user_profile`, { headers: { authorization: `Bearer ${token}` } });
    expect(await (await profile(tokens.access_token)).json()).toMatchObject({ sub: user.id, name: "Ada Lovelace" });
    expect((await browser.open(`${emulator.url}/logout`)).body).toContain("You are signed out");
    expect((await profile(tokens.access_token)).status).toBe(401);
    expect((await app.refresh(tokens.refresh_token)).body.error).toBe("invalid_grant");
    expect(await app.authorize(browser, { prompt: "none" })).toMatchObject({ error: "login_required" });

    const { body: again } = await app.exchange((await app.choose(browser, user.id))?.code);
    emulator.kinde.suspendUser(user.id);
    expect((await app.refresh(again.refresh_token)).body.error).toBe("invalid_grant");
    expect((await browser.open(app.authUrl())).body).toContain("This user is suspended");
    emulator.kinde.deleteUser(user.id);
    expect((await profile(again.access_token)).status).toBe(401);
  });

  it("are described by introspection, to applications only", async () => {
    const { app, tokens, emulator, user } = await signedIn();
    const introspect = (token: string, form: Record<string, string> = app.credentials) =>
      app.post("/oauth2/introspect", { token, ...form });
    expect((await introspect(tokens.access_token)).body).toMatchObject({
      active: true,
      client_id: app.credentials.client_id,
      sub: user.id,
      scope: "openid profile email offline",
    });
    expect((await introspect(tokens.refresh_token)).body).toMatchObject({ active: true, sub: user.id });
    for (const token of [tokens.id_token, "nonsense", await emulator.deliveries.sign({ sub: user.id, exp: 9e9 })])
      expect((await introspect(token)).body).toEqual({ active: false });
    expect((await introspect(tokens.access_token, {})).status).toBe(401);
    await app.post("/oauth2/revoke", { token: tokens.access_token, ...app.credentials });
    expect((await introspect(tokens.access_token)).body).toEqual({ active: false });
  });

  it("are not accepted by the Management API, whatever audience they name", async () => {
    const emulator = await start();
    const app = appOf(emulator);
    const { id } = emulator.kinde.createUser();
    const params = { audience: emulator.audience, scope: "openid read:users" };
    const { body } = await app.exchange((await app.choose(createBrowser(), id, params))?.code);
    const headers = { authorization: `Bearer ${body.access_token}` };
    expect((await fetch(`${emulator.url}/api/v1/users`, { headers })).status).toBe(401);
  });

  it("cannot be revoked by another application", async () => {
    const { app, tokens, emulator } = await signedIn();
    const { clientId: client_id, clientSecret: client_secret } = emulator.applications.create();
    await app.post("/oauth2/revoke", { token: tokens.refresh_token, client_id, client_secret });
    expect((await app.refresh(tokens.refresh_token)).status).toBe(200);
  });
});

describe("signing in", () => {
  it("fires user.authenticated, and user.created first for a user who signs up", async () => {
    const emulator = await start();
    const { code } = emulator.kinde.createOrganization();
    emulator.kinde.createRole("member", [], { isDefaultRole: true });
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    const app = appOf(emulator);
    const form = { create: "1", email: "new@example.com", first_name: "Grace", last_name: "" };
    const callback = await app.authorize(createBrowser(), {}, { method: "POST", body: new URLSearchParams(form) });
    const { body } = await app.exchange(callback?.code);
    await emulator.deliveries.settled();
    // Deliveries can overtake each other.
    const events = hook.received
      .map(({ payload }) => payload)
      .sort((a, b) => String(a.timestamp).localeCompare(String(b.timestamp)));
    expect(events).toMatchObject([
      { type: "user.created", source: "user", data: { user: { email: "new@example.com", first_name: "Grace" } } },
      { type: "user.authenticated", source: "user" },
    ]);
    const { sub = "", org_code } = decodeJwt(body.access_token);
    expect(org_code).toBe(code);
    expect(emulator.kinde.user(sub)).toMatchObject({ totalSignIns: 1, organizations: [{ code, roles: ["member"] }] });
    expect(
      await app.authorize(createBrowser(), {}, { method: "POST", body: new URLSearchParams(form) }),
    ).toBeUndefined();
    expect(emulator.kinde.userCount).toBe(1);
  });

  it("joins the requested organization if it allows registrations", async () => {
    const emulator = await start();
    const { kinde } = emulator;
    const app = appOf(emulator);
    kinde.createOrganization();
    const open = kinde.createOrganization({ isAllowRegistrations: true });
    const closed = kinde.createOrganization();
    const suspended = kinde.createOrganization({ isSuspended: true, isAllowRegistrations: true });
    const { id } = kinde.createUser();
    const { body } = await app.exchange((await app.choose(createBrowser(), id, { org_code: open.code }))?.code);
    expect(decodeJwt(body.access_token).org_code).toBe(open.code);
    for (const org_code of [closed.code, suspended.code, "org_unknown"])
      expect(await app.choose(createBrowser(), id, { org_code })).toBeUndefined();
    expect(kinde.user(id)?.organizations.map(({ code }) => code)).toEqual([open.code]);
    const signUp = { method: "POST", body: new URLSearchParams({ create: "1" }) };
    expect(await app.authorize(createBrowser(), { org_code: closed.code }, signUp)).toBeUndefined();
    expect(kinde.userCount).toBe(1);
  });

  it("needs no page once a script has chosen the user", async () => {
    const emulator = await start();
    const { id } = emulator.kinde.createUser();
    const app = appOf(emulator);
    const signInAs = (as: unknown) =>
      fetch(`${emulator.url}/__emulator/sign-in`, {
        method: "POST",
        body: JSON.stringify({ as }),
        headers: { "content-type": "application/json" },
      });
    expect(await app.authorize(createBrowser())).toBeUndefined();
    expect((await signInAs(id)).status).toBe(200);
    for (const prompt of ["none", "login", "create"])
      expect(await app.authorize(createBrowser(), { prompt })).toMatchObject({ code: expect.any(String) });
    expect((await signInAs("kp_unknown")).status).toBe(404);
    expect((await signInAs(7)).status).toBe(400);
    expect((await signInAs(null)).status).toBe(200);
    expect(await app.authorize(createBrowser())).toBeUndefined();
  });

  it("refuses a suspended user and fires user.authentication_failed", async () => {
    const emulator = await start();
    const { id } = emulator.kinde.createUser({ isSuspended: true });
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.signInAs(id);
    const app = appOf(emulator);
    expect((await createBrowser().step(app.authUrl())).status).toBe(403);
    expect(await app.authorize(createBrowser(), { prompt: "none" })).toMatchObject({ error: "access_denied" });
    await emulator.deliveries.settled();
    expect(hook.types()).toEqual(["user.authentication_failed", "user.authentication_failed"]);
  });
});

describe("browsers", () => {
  const corsOf = async (url: string, origin: string) => {
    const headers = { origin, "access-control-request-method": "POST", "access-control-request-headers": "kinde-sdk" };
    const preflight = await fetch(url, { method: "OPTIONS", headers });
    return preflight.headers.get("access-control-allow-origin");
  };

  it("may call tokens, profile and Account API from an application's origin, but never the control API", async () => {
    const emulator = await start({ application: { callbackUrls: [CALLBACK, "myapp://callback"] } });
    const own = new URL(CALLBACK).origin;
    for (const path of ["/oauth2/token", "/oauth2/v2/user_profile", "/oauth2/revoke", "/account_api/v1/permissions"]) {
      expect(await corsOf(emulator.url + path, own), path).toBe(own);
      for (const origin of ["https://evil.example", "http://localhost:1", "null"])
        expect(await corsOf(emulator.url + path, origin), path).toBeNull();
    }
    expect(await corsOf(`${emulator.url}/.well-known/jwks`, "https://evil.example")).toBe("*");
    for (const path of ["/__emulator", "/__emulator/sign-in", "/api/v1/users", "/oauth2/auth"])
      expect(await corsOf(emulator.url + path, own), path).toBeNull();
  });

  it("get pages that load nothing, run only their own script and cannot be framed", async () => {
    const emulator = await start();
    const { body, headers } = await createBrowser().open(
      appOf(emulator).authUrl({ login_hint: '"><script>x</script>' }),
    );
    expect(headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    expect(body).not.toContain("<script>x");
    expect(body).not.toMatch(/ src=|<link|<iframe|url\(|@import/);
  });
});

it("refuses applications with an invalid secret, URL or a client id in use", async () => {
  const emulator = await start();
  const { create, list } = emulator.applications;
  const [first] = list();
  for (const input of [
    { clientSecret: "short" },
    { clientSecret: "-".repeat(40) },
    { callbackUrls: ["/callback"] },
    { logoutUrls: ["javascript:alert(1)"] },
    { clientId: first?.clientId ?? "" },
    { clientId: "" },
  ])
    expect(() => create(input), JSON.stringify(input)).toThrow(
      expect.objectContaining({ code: "invalid_application" }),
    );
  expect(list()).toEqual([first]);
});

it("refuses bodies over 1 MiB", async () => {
  const emulator = await start();
  const body = new URLSearchParams({ token: "x".repeat(2 ** 20) });
  expect((await fetch(`${emulator.url}/oauth2/revoke`, { method: "POST", body })).status).toBe(413);
});

it("the discovery document names only endpoints that exist", async () => {
  const emulator = await start();
  const document = (await (await fetch(`${emulator.url}/.well-known/openid-configuration`)).json()) as object;
  const endpoints = Object.entries(document).filter(([name]) => /_endpoint$|_uri$/.test(name));
  expect(endpoints).toHaveLength(7);
  for (const [name, url] of endpoints) {
    const isForm = ["token_endpoint", "introspection_endpoint", "revocation_endpoint"].includes(name);
    expect((await fetch(String(url), { method: isForm ? "POST" : "GET" })).status, name).not.toBe(404);
  }
});
