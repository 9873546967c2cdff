import { request } from "node:http";
import { createEmulator, type Emulator } from "kinde-emulator";
import { describe, expect, inject, it, vi } from "vitest";
import { clientOf, useEmulator, useReceiver } from "./support.ts";

const start = useEmulator();
const receive = useReceiver();

/** The response fields the tests read. */
interface ControlAnswer {
  id: string;
  result: { id: string };
  keys: unknown[];
  [index: number]: { id: string };
}

const control = (emulator: Emulator) => async (method: string, path: string, body?: unknown) => {
  const response = await fetch(`${emulator.url}/__emulator${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const answer: ControlAnswer = JSON.parse(await response.text());
  return { status: response.status, body: answer };
};

describe("control API", () => {
  it("serves a help page and a summary of the state", async () => {
    const emulator = await start({ users: 5 });
    const page = await (await fetch(emulator.url)).text();
    expect(page).toContain(`KINDE_DOMAIN=${emulator.url}`);
    expect(page).toContain("setProperties");
    expect((await control(emulator)("GET", "")).body).toMatchObject({ users: 5, pendingDeliveries: 0 });
  });

  it("runs actions and returns the user's complete state", async () => {
    const emulator = await start();
    const send = control(emulator);
    const { body } = await send("POST", "/kinde/createUser", [{ email: "ada@example.com" }]);
    const { id } = body.result;
    await send("POST", "/kinde/setProperties", [id, { plan_tier: "pro" }]);
    const { code } = emulator.kinde.createOrganization();
    emulator.kinde.addToOrganization(id, code);
    const receiver = await receive();
    emulator.webhooks.register({ url: receiver.url });
    const silently = [
      ["suspendUser", [id, true, { silent: true }]],
      ["updateUser", [id, { firstName: "Ada" }, { silent: true }]],
      ["removeFromOrganization", [id, code, { silent: true }]],
    ] as const;
    for (const [action, args] of silently)
      expect(await send("POST", `/kinde/${action}`, args)).toMatchObject({ status: 200 });
    await emulator.deliveries.settled();
    expect(receiver.types()).toEqual([]);
    expect((await send("GET", `/users/${id}`)).body).toEqual(emulator.kinde.user(id));
    expect((await send("GET", "/users")).body).toEqual({ userCount: 1, ids: [id] });
    expect(emulator.kinde.user(id)).toMatchObject({
      isSuspended: true,
      firstName: "Ada",
      organizations: [],
      properties: { plan_tier: "pro" },
    });
    expect((await send("GET", `/users/${id}/tokens`)).body).toMatchObject({ accessToken: expect.any(String) });
  });

  it("sets the scopes of new access tokens and leaves issued ones unchanged", async () => {
    const emulator = await start();
    const send = control(emulator);
    const before = await clientOf(emulator);
    expect((await send("POST", "/scopes", { scopes: ["read:webhooks"] })).body).toEqual(["read:webhooks"]);
    expect((await send("GET", "/scopes")).body).toEqual(["read:webhooks"]);
    expect((await send("POST", "/scopes", { scopes: ["read:everything"] })).status).toBe(400);
    expect((await before("GET", "/users")).status).toBe(200);
    expect((await (await clientOf(emulator))("GET", "/users")).status).toBe(403);
  });

  it("rejects unknown actions, invalid arguments, unknown users and misspelled fault fields", async () => {
    const emulator = await start();
    const send = control(emulator);
    expect((await send("POST", "/kinde/nothing", [])).status).toBe(400);
    expect((await send("POST", "/kinde/suspendUser", [7])).status).toBe(400);
    expect((await send("POST", "/kinde/suspendUser", ["kp_0", true, { silence: true }])).status).toBe(400);
    expect((await send("POST", "/kinde/suspendUser", ["kp_0"])).status).toBe(404);
    expect((await send("POST", "/faults", { kind: "latency", ms: 5, pfad: "/x" })).status).toBe(400);
    expect(emulator.faults.list()).toEqual([]);
  });

  it("rejects webhooks that no HTTP request reaches, and headers that cannot be signed", async () => {
    const emulator = await start();
    const send = control(emulator);
    const error = { status: 400, body: { errors: [{ message: expect.any(String) }] } };
    for (const url of ["ftp://127.0.0.1/x", "mailto:a@b.c", "/webhooks"])
      expect(await send("POST", "/webhooks", { url })).toMatchObject(error);
    expect(emulator.webhooks.list()).toEqual([]);
    for (const header of [{ alg: "none" }, { alg: "HS256" }, { b64: false, crit: ["b64"] }, { crit: ["x"] }])
      expect(await send("POST", "/sign", { payload: {}, header })).toMatchObject(error);
    expect((await send("POST", "/sign", { payload: {}, header: { kid: "other" } })).status).toBe(200);
  });

  it("sets and removes faults, rotates keys and resets counters", async () => {
    const emulator = await start();
    const send = control(emulator);
    const { body } = await send("POST", "/faults", { kind: "error", status: 503, count: 3 });
    await send("POST", "/faults", { kind: "search_lag", ms: 50 });
    expect(emulator.faults.list().map(({ fault }) => fault.kind)).toEqual(["error", "search_lag"]);
    await send("DELETE", `/faults/${body[0]?.id}`);
    expect(emulator.faults.list().map(({ fault }) => fault.kind)).toEqual(["search_lag"]);
    await send("DELETE", "/faults");
    expect(emulator.faults.list()).toEqual([]);

    const [old] = emulator.keys.jwks().keys;
    expect((await send("POST", "/keys/rotate", { keepOld: true })).body.keys).toContainEqual(old);
    await send("POST", "/keys/rotate");
    expect(emulator.keys.jwks().keys).toHaveLength(1);

    await fetch(`${emulator.url}/api/v1/users`);
    expect((await send("GET", "/stats")).body).toMatchObject({ total: 1 });
    expect((await send("POST", "/stats/reset")).body).toMatchObject({ total: 0 });
  });

  it("signs with the signingKey option until the first rotation, and with a generated key without it", async () => {
    const modulus = (emulator: Emulator) => emulator.keys.jwks().keys.map(({ n }) => n);
    const given = await start();
    const own = await createEmulator();
    try {
      expect(modulus(given)).toEqual([inject("signingKey").n]);
      expect(given.keys.jwks().keys[0]).not.toHaveProperty("d");
      expect(modulus(own)).not.toEqual(modulus(given));
      await given.keys.rotate();
      expect(modulus(given)).not.toContain(inject("signingKey").n);
    } finally {
      await own.close();
    }
  });

  it("registers webhooks, lists their deliveries and redelivers events", async () => {
    const emulator = await start();
    const send = control(emulator);
    const hook = await receive();
    const { body: webhook } = await send("POST", "/webhooks", { url: hook.url, eventTypes: ["user.updated"] });
    const { body } = await send("POST", "/kinde/emit", ["user.updated", { user: { id: "kp_1" } }]);
    await emulator.deliveries.settled();
    expect((await send("GET", "/deliveries")).body).toMatchObject({
      pending: 0,
      deliveries: [{ eventId: body.result, state: "delivered", statuses: [200] }],
    });
    expect((await send("POST", `/deliveries/${body.result}/redeliver`)).body).toEqual({ status: 200 });
    expect(hook.received).toHaveLength(2);
    await send("DELETE", `/webhooks/${webhook.id}`);
    expect(emulator.webhooks.list()).toEqual([]);
  });

  describe("refuses what a web page can send without being asked", () => {
    const createUser = (emulator: Emulator, headers: Record<string, string>, path = "/kinde/createUser") =>
      fetch(`${emulator.url}/__emulator${path}`, { method: "POST", headers, body: "[{}]" });
    const json = { "content-type": "application/json" };

    it.each([
      ["a foreign origin", { ...json, origin: "https://evil.example" }, 403],
      ["a sandboxed page", { ...json, origin: "null" }, 403],
      ["a cross-site navigation", { ...json, "sec-fetch-site": "cross-site" }, 403],
      ["a same-site page on another port", { ...json, "sec-fetch-site": "same-site" }, 403],
      ["a text/plain body", { "content-type": "text/plain" }, 415],
      ["a form", { "content-type": "application/x-www-form-urlencoded" }, 415],
    ])("%s", async (_what, headers, status) => {
      const emulator = await start();
      expect((await createUser(emulator, headers)).status).toBe(status);
      expect((await createUser(emulator, { ...headers, "sec-fetch-site": "cross-site" }, "/sign")).status).not.toBe(
        200,
      );
      expect(emulator.kinde.userCount).toBe(0);
      expect(
        (await createUser(emulator, { ...json, origin: emulator.url, "sec-fetch-site": "same-origin" })).status,
      ).toBe(200);
    });

    it("a rebound host name, on every route", async () => {
      const emulator = await start({ allowedHosts: ["kinde.internal"] });
      const { port } = new URL(emulator.url);
      const ask = (host: string, path: string) =>
        new Promise<number | undefined>((resolve, reject) => {
          const call = request({ host: "127.0.0.1", port, path, headers: { host: `${host}:${port}` } }, (response) => {
            response.resume();
            resolve(response.statusCode);
          });
          call.once("error", reject).end();
        });
      for (const path of ["/", "/__emulator", "/.well-known/jwks"]) {
        expect(await ask("evil.example", path)).toBe(421);
        for (const host of ["localhost", "127.0.0.1", "kinde.internal"]) expect(await ask(host, path)).toBe(200);
      }
    });
  });

  it("does not start in production unless it is told to", async () => {
    vi.stubEnv("NODE_ENV", "production");
    try {
      await expect(createEmulator({ signingKey: inject("signingKey") })).rejects.toMatchObject({
        code: "production_refused",
      });
      await (await start({ allowProduction: true })).close();
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
