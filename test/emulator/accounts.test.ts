import { describe, expect, it } from "vitest";
import { createBrowser } from "../support/browser.ts";
import { appOf } from "./oauth-app.ts";
import { clientOf, useEmulator, useReceiver } from "./support.ts";

const start = useEmulator();
const receive = useReceiver();

/** Members of answers that the shared client does not name. */
const fieldsOf = (answer: unknown) =>
  answer as { body: { identity: { id: string }; identities: Record<string, unknown>[]; invite: { code: string } } };

describe("imports", () => {
  it("import nobody if one of the users is invalid", async () => {
    const { kinde } = await start({ users: 1 });
    const before = [...kinde.userIds()];
    const invalid = [
      [{}, { properties: { unknown: "x" } }],
      [{}, { organizations: ["org_unknown"] }],
      [{ email: "ada@example.com" }, { email: "ada@example.com" }],
      [
        { id: "kp_same", email: "a@example.com" },
        { id: "kp_same", email: "b@example.com" },
      ],
      [{}, { username: kinde.user(before[0] ?? "")?.email ?? "" }],
    ];
    for (const users of invalid) {
      expect(() => kinde.importUsers(users), JSON.stringify(users)).toThrow();
      expect([...kinde.userIds()]).toEqual(before);
      expect(kinde.userCount).toBe(1);
    }
    expect(kinde.importUsers([{ email: "ada@example.com" }, {}])).toHaveLength(2);
  });
});

describe("identities", () => {
  it("are added, made primary and removed, and change the account they belong to", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { kinde } = emulator;
    const { id } = kinde.createUser({ email: "ada@example.com" });
    const list = async () => fieldsOf(await call("GET", `/users/${id}/identities`)).body.identities;
    const added = fieldsOf(await call("POST", `/users/${id}/identities`, { type: "email", value: "ada@work.example" }));
    const second = added.body.identity.id;
    const google = { type: "social", value: "ada@example.com", connection_id: "conn_google" };
    expect((await call("POST", `/users/${id}/identities`, google)).status).toBe(201);
    expect(await list()).toMatchObject([
      { type: "email", name: "ada@example.com", is_primary: true, connection_id: null },
      { type: "email", name: "ada@work.example", is_primary: false, id: second },
      { type: "social", name: "ada@example.com", is_primary: true, connection_id: "conn_google" },
    ]);
    expect(kinde.user(id)?.email).toBe("ada@example.com");

    expect((await call("PATCH", `/identities/${second}`, { is_primary: true })).status).toBe(200);
    expect(kinde.user(id)?.email).toBe("ada@work.example");
    expect((await call("PATCH", `/identities/${second}`, { is_primary: false })).status).toBe(400);
    expect((await call("DELETE", `/identities/${second}`)).status).toBe(200);
    expect(kinde.user(id)?.email).toBe("ada@example.com");
    expect(await call("GET", `/identities/${second}`)).toMatchObject({ status: 404 });
    expect(await list()).toHaveLength(2);
  });

  it("fire user.updated only if the account shows the change", async () => {
    const emulator = await start();
    const { received, url } = await receive();
    const { kinde } = emulator;
    const { id } = kinde.createUser({ email: "ada@example.com" });
    emulator.webhooks.register({ url });
    const added = kinde.addIdentity(id, { type: "email", identity: "ada@work.example" });
    await emulator.deliveries.settled();
    expect(received).toEqual([]);
    kinde.makeIdentityPrimary(added.id);
    await emulator.deliveries.settled();
    expect(received.map(({ payload }) => payload.data.user)).toMatchObject([{ id, email: "ada@work.example" }]);
  });

  it("belong to one user each, and name a connection exactly if they come from one", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { id } = emulator.kinde.createUser({ email: "ada@example.com" });
    const other = emulator.kinde.createUser({ email: "grace@example.com" });
    const add = (body: object) => call("POST", `/users/${id}/identities`, body);
    const refused = [
      { type: "email", value: "grace@example.com" },
      { type: "email", value: "ada@example.com" },
      { type: "email", value: " " },
      { type: "email", value: "new@example.com", connection_id: "conn_google" },
      { type: "social", value: "new@example.com" },
      { type: "phone", value: "+61400000000" },
      { type: "passkey", value: "x" },
    ];
    for (const body of refused) expect((await add(body)).status, JSON.stringify(body)).toBe(400);
    expect(() => emulator.kinde.updateUser(id, { email: "grace@example.com" })).toThrow(/already has/);
    // The name at a connection is no address of the user: it finds nobody else.
    expect((await add({ type: "social", value: "grace@example.com", connection_id: "conn" })).status).toBe(201);
    expect((await call("GET", "/users?email=grace@example.com")).body.users).toMatchObject([{ id: other.id }]);
    expect(emulator.kinde.user(id)?.identities).toHaveLength(2);
  });
});

describe("sessions", () => {
  it("are listed without the browser's secret, and their tokens end with them", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { code } = emulator.kinde.createOrganization();
    const { id } = emulator.kinde.createUser({ organizations: [code] });
    const app = appOf(emulator);
    const browser = createBrowser();
    const callback = await app.choose(browser, id);
    const { body: tokens } = await app.exchange(callback?.code);
    const sessions = await call("GET", `/users/${id}/sessions`);
    expect(sessions.body).toMatchObject({
      has_more: false,
      sessions: [{ user_id: id, org_code: code, client_id: app.credentials.client_id, last_ip_address: "127.0.0.1" }],
    });
    const [secret = ""] = browser.cookies("127.0.0.1").values();
    expect(secret).not.toBe("");
    expect(JSON.stringify(sessions.body)).not.toContain(secret);

    expect((await call("DELETE", `/users/${id}/sessions`)).status).toBe(200);
    expect((await app.refresh(tokens.refresh_token)).body.error).toBe("invalid_grant");
    expect(await app.authorize(browser, { prompt: "none" })).toMatchObject({ error: "login_required" });
    expect((await call("GET", `/users/${id}/sessions`)).body).toMatchObject({ sessions: [] });
    expect((await call("DELETE", "/users/kp_unknown/sessions")).status).toBe(404);
  });

  it("last as long as the organization's policy says", async () => {
    let now = Date.now();
    const emulator = await start({ now: () => now });
    const call = await clientOf(emulator);
    const { code } = emulator.kinde.createOrganization();
    const { id } = emulator.kinde.createUser({ organizations: [code] });
    const app = appOf(emulator);
    const policy = {
      is_use_org_authenticated_session_lifetime: true,
      authenticated_session_lifetime: 600,
      is_use_org_sso_session_policy: true,
      sso_session_persistence_mode: "non_persistent",
    };
    expect((await call("PATCH", `/organizations/${code}/sessions`, policy)).status).toBe(200);
    const browser = createBrowser();
    const form = { method: "POST", body: new URLSearchParams({ user: id }) };
    const { headers } = await browser.step(app.authUrl(), form);
    expect(headers.get("set-cookie")).not.toMatch(/max-age/i);
    now += 599_000;
    expect(await app.authorize(browser, { prompt: "none" })).toMatchObject({ code: expect.any(String) });
    now += 1_000;
    expect(await app.authorize(browser, { prompt: "none" })).toMatchObject({ error: "login_required" });
  });
});

describe("invitations", () => {
  async function invited(email = "grace@example.com") {
    const emulator = await start();
    const call = await clientOf(emulator);
    emulator.kinde.createRole("auditor");
    // The first organization is the default one, which users join without an invitation.
    emulator.kinde.createOrganization();
    const { code: org } = emulator.kinde.createOrganization({ name: "Analytical Engines" });
    const invite = { email, first_name: "Grace", roles: ["auditor"] };
    const { code } = fieldsOf(await call("POST", `/organization/${org}/invites`, invite)).body.invite;
    return { emulator, call, org, code, app: appOf(emulator), browser: createBrowser() };
  }

  it("sign a new user up with the invited address, who joins with the roles", async () => {
    const { emulator, call, org, code, app, browser } = await invited();
    const params = { invitation_code: code, is_invitation: "true" };
    const { body } = await browser.open(app.authUrl(params));
    expect(body).toMatch(/value="grace@example\.com"[^>]*readonly/);
    expect(body).toContain('value="Grace"');
    const form = new URLSearchParams({ create: "1", email: "another@example.com", first_name: "Grace" });
    const callback = await app.authorize(browser, params, { method: "POST", body: form });
    expect(callback).toMatchObject({ code: expect.any(String) });
    const [userId = ""] = emulator.kinde.userIds();
    expect(emulator.kinde.user(userId)).toMatchObject({
      email: "grace@example.com",
      organizations: [{ code: org, roles: ["auditor"] }],
    });
    const path = `/organization/${org}/invites`;
    expect((await call("GET", path)).body).toMatchObject({ invites: [] });
    expect((await call("GET", `${path}?include_accepted=true`)).body).toMatchObject({
      invites: [{ code, accepted_on: expect.any(String), roles: [{ key: "auditor" }] }],
    });
    expect((await browser.open(app.authUrl(params))).status).toBe(400);
  });

  it("are accepted by nobody else, and keep the roles of a member", async () => {
    const { emulator, org, code, app, browser } = await invited();
    const { kinde } = emulator;
    kinde.createRole("clerk");
    const other = kinde.createUser({ email: "ada@example.com" });
    const params = { invitation_code: code };
    expect(await app.choose(browser, other.id, params)).toBeUndefined();
    emulator.signInAs(other.id);
    expect(await app.authorize(browser, { ...params, prompt: "none" })).toMatchObject({ error: "access_denied" });
    expect(() => kinde.acceptInvitation(code, other.id)).toThrow(/is for grace@example\.com/);
    expect(kinde.user(other.id)?.organizations).toEqual([]);

    const grace = kinde.createUser({ email: "Grace@example.com", organizations: [{ code: org, roles: ["clerk"] }] });
    emulator.signInAs(grace.id);
    expect(await app.authorize(browser, params)).toMatchObject({ code: expect.any(String) });
    expect(kinde.user(grace.id)?.organizations).toMatchObject([{ code: org, roles: ["clerk", "auditor"] }]);
  });

  it("are worth nothing once revoked", async () => {
    const { emulator, call, org, code, app, browser } = await invited();
    const link = `${emulator.url}/team_invitation?code=${code}`;
    expect((await browser.open(link)).body).toContain("Analytical Engines");
    expect((await call("DELETE", `/organization/${org}/invites/${code}`)).status).toBe(200);
    expect((await call("DELETE", `/organization/${org}/invites/${code}`)).status).toBe(400);
    expect((await browser.open(link)).status).toBe(404);
    expect((await browser.open(app.authUrl({ invitation_code: code }))).status).toBe(400);
    const path = `/organization/${org}/invites`;
    expect((await call("GET", path)).body).toMatchObject({ invites: [] });
    expect((await call("GET", `${path}?include_revoked=true`)).body).toMatchObject({ invites: [{ is_revoked: true }] });
  });

  it("are refused with Kinde's codes for values that are too long, and for unknown roles", async () => {
    const { call, org } = await invited();
    const long = "x".repeat(65);
    const refused = [
      [{ email: `${"x".repeat(250)}@example.com`, roles: [] }, 400, "EMAIL_TOO_LONG"],
      [{ email: "a@example.com", first_name: long, roles: [] }, 400, "FIRST_NAME_TOO_LONG"],
      [{ email: "a@example.com", last_name: long, roles: [] }, 400, "LAST_NAME_TOO_LONG"],
      [{ email: "nobody", roles: [] }, 400, "INVALID_INVITATION"],
      [{ email: "a@example.com", roles: ["unknown"] }, 404, "UNKNOWN_ROLE"],
    ] as const;
    for (const [body, status, code] of refused)
      expect(await call("POST", `/organization/${org}/invites`, body)).toMatchObject({
        status,
        body: { errors: [{ code }] },
      });
    expect((await call("GET", `/organization/${org}/invites`)).body).toMatchObject({ invites: [{}] });
  });
});
