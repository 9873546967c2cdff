import { decodeJwt } from "jose";
import { createEmulator } from "kinde-emulator";
import { describe, expect, it } from "vitest";
import { clientOf, hangOn, useEmulator } from "./support.ts";

const start = useEmulator();

describe("tokens", () => {
  const ask = (url: string, form: Record<string, string>, headers: Record<string, string> = {}) =>
    fetch(`${url}/oauth2/token`, { method: "POST", body: new URLSearchParams(form), headers });

  it("are issued and counted only for valid client credentials and audience", async () => {
    const emulator = await start({ clientId: "me", clientSecret: "s3cret:%", tokenLifetimeSeconds: 60 });
    const grant = { grant_type: "client_credentials", audience: emulator.audience };
    expect((await ask(emulator.url, { ...grant, client_id: "me", client_secret: "wrong" })).status).toBe(401);
    expect(
      (await ask(emulator.url, { ...grant, client_id: "me", client_secret: "s3cret:%", audience: "x" })).status,
    ).toBe(400);
    const basic = Buffer.from(`me:${encodeURIComponent("s3cret:%")}`).toString("base64");
    const response = await ask(emulator.url, grant, { authorization: `Basic ${basic}` });
    expect(await response.json()).toMatchObject({ expires_in: 60, token_type: "bearer" });
    expect(emulator.stats.tokensIssued).toBe(1);
  });

  it.each([
    ["invalid_request", 400, { audience: "" }],
    ["invalid_scope", 400, { scope: "read:users read:everything" }],
    ["unauthorized_client", 400, { audience: "https://api.example" }],
    ["invalid_client", 401, { client_secret: "wrong" }],
    ["invalid_client", 401, { client_id: "unknown" }],
    ["unsupported_grant_type", 400, { grant_type: "password" }],
    ["invalid_request", 400, { grant_type: "" }],
  ])("are refused with %s (%i) for %j", async (error, status, changes) => {
    const emulator = await start();
    const { clientId: client_id, clientSecret: client_secret, audience } = emulator;
    const form = { grant_type: "client_credentials", client_id, client_secret, audience, ...changes };
    const answer = await ask(emulator.url, form);
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({
      status,
      body: { error, error_description: expect.any(String) },
    });
    expect(emulator.stats.tokensIssued).toBe(0);
  });

  it("are not granted to the application users sign in to", async () => {
    const emulator = await start();
    const [application] = emulator.applications.list();
    const answer = await ask(emulator.url, {
      grant_type: "client_credentials",
      client_id: application?.clientId ?? "",
      client_secret: application?.clientSecret ?? "",
      audience: emulator.audience,
    });
    expect(await answer.json()).toMatchObject({ error: "unauthorized_client" });
  });

  it("expire after tokenLifetimeSeconds", async () => {
    let now = Date.now();
    const emulator = await start({ tokenLifetimeSeconds: 60, now: () => now });
    const call = await clientOf(emulator);
    expect((await call("GET", "/users")).status).toBe(200);
    now += 61_000;
    expect((await call("GET", "/users")).status).toBe(401);
  });

  it("are required by every call: 401 without a token, 403 without the scope", async () => {
    const emulator = await start({ scopes: ["read:users"] });
    const call = await clientOf(emulator);
    expect((await call("GET", "/users")).status).toBe(200);
    const forbidden = await call("POST", "/user", {});
    expect(forbidden.status).toBe(403);
    expect(forbidden.body).toEqual({ errors: [{ code: expect.any(String), message: expect.any(String) }] });
    expect((await fetch(`${emulator.url}/api/v1/users`)).status).toBe(401);
  });

  it("are rejected if they belong to a user or their key has been rotated out", async () => {
    const emulator = await start();
    const { id } = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
    const call = await clientOf(emulator);
    const bearer = async (token: string) =>
      (await fetch(`${emulator.url}/api/v1/users`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect(await bearer(await emulator.deliveries.accessToken(id))).toBe(401);
    expect(await bearer(await emulator.deliveries.idToken(id))).toBe(401);
    await emulator.keys.rotate({ keepOld: true });
    expect((await call("GET", "/users")).status).toBe(200);
    await emulator.keys.rotate();
    expect((await call("GET", "/users")).status).toBe(401);
  });
});

describe("Management API", () => {
  it("returns a user in the documented format, with the parts expand requests", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { code } = emulator.kinde.createOrganization();
    const { id } = emulator.kinde.createUser({ email: "ada@example.com", phone: "+441234", organizations: [code] });
    emulator.kinde.assignPlan(id, "pro");
    const { body } = await call("GET", `/user?id=${id}&expand=organizations,identities,billing`);
    expect(body).toMatchObject({
      id,
      preferred_email: "ada@example.com",
      phone: "+441234",
      username: null,
      is_suspended: false,
      last_signed_in: null,
      organizations: [code],
      identities: [
        { type: "email", identity: "ada@example.com" },
        { type: "phone", identity: "+441234" },
      ],
    });
    const agreements = await call("GET", `/billing/agreements?customer_id=${body.billing.customer_id}`);
    expect(agreements.body).toMatchObject({ has_more: false, agreements: [{ plan_code: "pro" }] });
    expect((await call("GET", `/user?id=${id}`)).body).not.toHaveProperty("organizations");
  });

  it("answers 404 for a deleted user, or the status of an unknown_user fault", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { id } = emulator.kinde.createUser();
    emulator.kinde.deleteUser(id, { silent: true });
    for (const [method, path] of [
      ["GET", `/user?id=${id}`],
      ["GET", `/users/${id}/properties`],
      ["PUT", `/users/${id}/properties/plan_tier?value=pro`],
      ["DELETE", `/user?id=${id}`],
      ["POST", `/users/${id}/refresh_claims`],
    ] as const) {
      expect(await call(method, path), path).toMatchObject({
        status: 404,
        body: { errors: [{ code: "UNKNOWN_USER" }] },
      });
    }
    emulator.faults.set({ kind: "unknown_user", status: 400 });
    expect((await call("GET", `/user?id=${id}`)).status).toBe(400);
  });

  it("rejects invalid page sizes, tokens and bodies, oversized bulk writes and unknown routes", async () => {
    const emulator = await start({ users: 10 });
    const call = await clientOf(emulator);
    const [id] = emulator.kinde.userIds();
    const [org] = emulator.kinde.organizations();
    const status = async (method: string, path: string, body?: unknown) => (await call(method, path, body)).status;
    expect(await status("GET", "/users?page_size=501")).toBe(400);
    expect(await status("GET", "/search/users?page_size=0")).toBe(400);
    expect(await status("GET", "/users?next_token=nonsense")).toBe(400);
    expect(await status("GET", "/roles?next_token=nonsense")).toBe(400);
    expect(await status("PATCH", `/users/${id}/properties`, { properties: { undefined_key: "x" } })).toBe(400);
    expect(await status("PATCH", `/users/${id}/properties`, { wrong: 1 })).toBe(400);
    const users = Array.from({ length: 101 }, () => ({ id }));
    expect(await status("POST", `/organizations/${org?.code}/users`, { users })).toBe(400);
    expect(await status("GET", "/nothing")).toBe(404);
  });

  it.each(["__proto__", "constructor"])("lists a property called %s without a value as such", async (key) => {
    const emulator = await start();
    const { id } = emulator.kinde.createUser();
    emulator.kinde.createProperty(key);
    const { body } = await (await clientOf(emulator))("GET", `/users/${id}/properties`);
    expect(body.properties).toContainEqual(expect.objectContaining({ key, value: null }));
  });

  it("changes members in bulk, and none if one is unknown", async () => {
    const emulator = await start({ users: 10 });
    const call = await clientOf(emulator);
    const { code } = emulator.kinde.createOrganization();
    const [a = "", b = ""] = emulator.kinde.userIds();
    const path = `/organizations/${code}/users`;
    const inside = (id: string) => emulator.kinde.user(id)?.organizations.find((one) => one.code === code);
    expect((await call("POST", path, { users: [{ id: a }, { id: "kp_0" }] })).status).toBe(404);
    expect(inside(a)).toBeUndefined();
    await call("POST", path, { users: [{ id: a, roles: ["admin"] }, { id: b }] });
    expect(inside(a)?.roles).toEqual(["admin"]);
    const { body } = await call("PATCH", path, {
      users: [
        { id: a, operation: "delete" },
        { id: b, permissions: ["reports:export"] },
      ],
    });
    expect(body).toMatchObject({ users_removed: [a], users_updated: [b], users_added: [] });
    expect(inside(a)).toBeUndefined();
    expect(inside(b)?.permissions).toEqual(["reports:export"]);
  });

  it("filters members by roles and permissions, all of which must match, and sorts them", async () => {
    const emulator = await start();
    const { kinde } = emulator;
    const call = await clientOf(emulator);
    const { code } = kinde.createOrganization();
    kinde.createRole("admin", ["admin:access"]);
    kinde.createRole("editor", ["reports:write"]);
    const add = (email: string, firstName: string, roles: string[], permissions: string[] = []) =>
      kinde.createUser({ email, firstName, lastName: null, organizations: [{ code, roles, permissions }] }).id;
    const a = add("c@example.com", "Ada", ["admin", "editor"]);
    const b = add("a@example.com", "bea", ["admin"]);
    const c = add("b@example.com", "Cleo", ["editor"], ["admin:access"]);
    kinde.createUser();
    const ids = async (query: string) =>
      (await call("GET", `/organizations/${code}/users?page_size=50&${query}`)).body.organization_users.map(
        ({ id }) => id,
      );
    expect((await ids("roles=admin")).sort()).toEqual([a, b].sort());
    expect(await ids("roles=admin,editor")).toEqual([a]);
    expect((await ids("permissions=admin:access")).sort()).toEqual([a, b, c].sort());
    expect((await ids("permissions=admin:access,reports:write")).sort()).toEqual([a, c].sort());
    expect(await ids("roles=editor&permissions=admin:access&sort=name_desc")).toEqual([c, a]);
    expect(await ids("roles=unknown")).toEqual([]);
    expect(await ids("sort=name_asc")).toEqual([a, b, c]);
    expect(await ids("sort=email_asc")).toEqual([b, c, a]);
    const { body } = await call("GET", `/organizations/${code}/users?page_size=2&sort=email_desc`);
    expect(body.organization_users.map(({ id }) => id)).toEqual([a, c]);
    const next = `/organizations/${code}/users?page_size=2&sort=email_desc&next_token=${body.next_token}`;
    expect((await call("GET", next)).body.organization_users.map(({ id }) => id)).toEqual([b]);
  });

  it("pages backwards with ending_before", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const keys = async (query: string) => {
      const { body } = await call("GET", `/properties?page_size=2${query}`);
      return body as unknown as { properties: { id: string; key: string }[]; has_more: boolean };
    };
    const first = await keys("");
    const second = await keys(`&starting_after=${first.properties[1]?.id}`);
    expect(await keys(`&ending_before=${second.properties[0]?.id}`)).toMatchObject({ ...first, has_more: false });
    expect((await call("GET", "/properties?starting_after=a&ending_before=b")).status).toBe(400);
    expect((await call("GET", "/properties?ending_before=unknown")).status).toBe(400);
  });

  it("puts users of the API and imported ones in the default organization, with the default roles", async () => {
    const emulator = await start();
    const { kinde } = emulator;
    const call = await clientOf(emulator);
    const { code } = kinde.createOrganization();
    const other = kinde.createOrganization();
    kinde.createRole("member", [], { isDefaultRole: true });
    const member = [{ code, roles: ["member"] }];
    const { body } = await call("POST", "/user", {});
    expect(kinde.user(body.id)?.organizations).toMatchObject(member);
    const placed = await call("POST", "/user", { organization_code: other.code });
    expect(kinde.user(placed.body.id)?.organizations).toMatchObject([{ code: other.code, roles: [] }]);
    expect(kinde.importUsers([{}])[0]?.organizations).toMatchObject(member);
    expect(kinde.importUsers([{ organizations: [] }])[0]?.organizations).toEqual([]);
    expect(kinde.createUser().organizations).toEqual([]);
  });

  it("suspends organizations, but not the default one", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { code: first } = emulator.kinde.createOrganization();
    const { code } = emulator.kinde.createOrganization();
    const change = { is_suspended: true, is_auto_membership_enabled: true };
    expect((await call("PATCH", `/organization/${code}`, change)).status).toBe(200);
    expect((await call("GET", `/organization?code=${code}`)).body).toMatchObject({
      ...change,
      suspended_on: expect.any(String),
    });
    await call("PATCH", `/organization/${code}`, { is_suspended: false });
    expect((await call("GET", `/organization?code=${code}`)).body).toMatchObject({
      is_suspended: false,
      suspended_on: null,
    });
    expect((await call("PATCH", `/organization/${first}`, change)).status).toBe(400);
  });

  it("replaces a customer's agreement, and shows when the old one expired", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const { id } = emulator.kinde.createUser();
    emulator.kinde.assignPlan(id, "pro");
    const customer_id = emulator.kinde.user(id)?.billing?.customerId;
    await call("POST", "/billing/agreements", { customer_id, plan_code: "max" });
    const list = async (query = "") =>
      (await call("GET", `/billing/agreements?customer_id=${customer_id}${query}`)).body as unknown as object;
    expect(await list()).toMatchObject({
      agreements: [
        { plan_code: "pro", expires_on: expect.any(String) },
        { plan_code: "max", expires_on: null },
      ],
    });
    expect(await list("&feature_code=pro_plan")).toMatchObject({ agreements: [{ plan_code: "pro" }] });
    expect(emulator.kinde.user(id)?.billing?.agreements).toMatchObject([{ planCode: "max" }]);
    expect((await call("GET", `/billing/entitlements?customer_id=${customer_id}&expand=plans`)).body).toMatchObject({
      entitlements: [{ feature_code: "max_plan" }],
      plans: [{ code: "max" }],
    });
  });

  it("sets feature flags for the environment, organizations and users", async () => {
    const emulator = await start();
    const { kinde } = emulator;
    const call = await clientOf(emulator);
    const { code } = kinde.createOrganization();
    const { id } = kinde.createUser({ organizations: [code] });
    const status = async (method: string, path: string, body?: unknown) => (await call(method, path, body)).status;
    const flag = { name: "Seats", key: "seats", type: "int", default_value: "5" };
    expect(await status("POST", "/feature_flags", { ...flag, default_value: "five" })).toBe(400);
    expect(await status("POST", "/feature_flags", flag)).toBe(201);
    expect(await status("POST", "/feature_flags", flag)).toBe(400);
    const token = async () => decodeJwt(await emulator.deliveries.accessToken(id)).feature_flags;
    expect(await token()).toEqual({ seats: { t: "i", v: 5 } });
    await call("PATCH", "/environment/feature_flags/seats", { value: "6" });
    expect(await token()).toEqual({ seats: { t: "i", v: 6 } });
    await call("PATCH", `/organizations/${code}/feature_flags/seats?value=7`);
    expect(await token()).toEqual({ seats: { t: "i", v: 7 } });
    await call("PATCH", `/users/${id}/feature_flags/seats?value=8`);
    expect(await token()).toEqual({ seats: { t: "i", v: 8 } });
    expect((await call("GET", `/organizations/${code}/feature_flags`)).body).toMatchObject({
      feature_flags: { seats: { type: "int", value: "7" } },
    });
    await call("DELETE", `/organizations/${code}/feature_flags`);
    await call("DELETE", "/environment/feature_flags");
    expect((await call("GET", `/organizations/${code}/feature_flags`)).body).toMatchObject({
      feature_flags: { seats: { value: "5" } },
    });
    const level = "name=Seats&description=&type=int&default_value=1&allow_override_level=env";
    expect(await status("PUT", `/feature_flags/seats?${level}`)).toBe(200);
    expect(await status("PATCH", `/users/${id}/feature_flags/seats?value=9`)).toBe(400);
    expect(await status("PATCH", `/users/${id}/feature_flags/unknown?value=9`)).toBe(404);
    expect(await status("DELETE", "/feature_flags/seats")).toBe(200);
    expect(await token()).toEqual({});
  });

  it("changes and deletes properties, with their values, but not Kinde's own", async () => {
    const emulator = await start();
    const { kinde } = emulator;
    const call = await clientOf(emulator);
    const property = kinde.createProperty("nickname");
    const { id } = kinde.createUser({ properties: { nickname: "Ada" } });
    const change = { name: "Nickname", is_private: true, category_id: "unknown" };
    expect((await call("PUT", `/properties/${property.id}`, change)).status).toBe(404);
    const { body } = await call("POST", "/property_categories", { name: "Names", context: "usr" });
    const { category } = body as unknown as { category: { id: string } };
    const answer = await call("PUT", `/properties/${property.id}`, { ...change, category_id: category.id });
    expect(answer.status).toBe(200);
    expect(decodeJwt(await emulator.deliveries.accessToken(id)).user_properties).toEqual({});
    expect(kinde.user(id)?.properties).toEqual({ nickname: "Ada" });
    expect((await call("DELETE", `/properties/${property.id}`)).status).toBe(200);
    expect(kinde.user(id)?.properties).toEqual({});
    expect((await call("GET", "/search/users?query=*&expand=properties")).body.results[0]?.properties).toEqual({});
    const { properties } = (await call("GET", "/properties?page_size=50")).body;
    const own = properties.find(({ key }) => key === "kp_usr_city") as unknown as { id: string };
    expect((await call("DELETE", `/properties/${own.id}`)).status).toBe(400);
  });

  it("counts calls per route and the highest concurrency", async () => {
    const emulator = await start({ users: 3 });
    const call = await clientOf(emulator);
    const release = await hangOn(emulator, 2);
    const [id] = emulator.kinde.userIds();
    await call("GET", `/user?id=${id}`);
    release();
    expect(emulator.stats).toMatchObject({ total: 3, maxConcurrent: 3, tooMany: 0, tokensIssued: 1 });
    expect(emulator.stats.calls).toMatchObject({ "GET /api/v1/user": 1, "GET /api/v1/users": 2 });
    expect(emulator.stats.recent.map(({ route, status }) => `${route} ${status}`)).toContain("/api/v1/user 200");
    emulator.stats.reset();
    expect(emulator.stats).toMatchObject({ total: 0, calls: {}, recent: [] });
  });

  it("ends calls in flight and pending deliveries on close", async () => {
    const emulator = await createEmulator();
    const call = await clientOf(emulator);
    emulator.faults.set({ kind: "hang" });
    const hanging = call("GET", "/users").catch((error: unknown) => error);
    emulator.webhooks.register({ url: "http://127.0.0.1:1/" });
    emulator.kinde.createUser();
    await emulator.close();
    expect(await hanging).toBeInstanceOf(Error);
    await emulator.deliveries.settled();
    await expect(fetch(emulator.url)).rejects.toThrow();
  });
});
