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
