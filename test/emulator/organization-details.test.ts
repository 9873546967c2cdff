import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmulator } from "../support/emulator.ts";

const code = "org_00000000001";
let emulator: Awaited<ReturnType<typeof startEmulator>>;
let token: string;

beforeAll(async () => {
  emulator = await startEmulator();
  emulator.kinde.createOrganization({ code });
  emulator.kinde.createProperty("seats", { context: "org" });
  emulator.kinde.createProperty("nickname");
  token = await machineToken();
});

afterAll(() => emulator.close());

async function machineToken(): Promise<string> {
  const { url, audience, clientId, clientSecret } = emulator;
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: clientId,
    client_secret: clientSecret,
    audience,
  });
  const response = await fetch(`${url}/oauth2/token`, { method: "POST", body });
  return ((await response.json()) as { access_token: string }).access_token;
}

async function send(method: string, path: string, body?: unknown) {
  const response = await fetch(`${emulator.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

describe("the properties of an organization", () => {
  it("are those with the context org, set or not", async () => {
    const { status, json } = await send("GET", `/organizations/${code}/properties`);
    expect(status).toBe(200);
    expect(json).toMatchObject({ code: "OK", next_token: null, properties: [{ key: "seats", value: null }] });
  });

  it("can be set and removed over the API and by an admin, without an event", async () => {
    const values = async () => (await send("GET", `/organizations/${code}/properties`)).json.properties;
    const events = emulator.deliveries.list().length;
    expect((await send("PATCH", `/organizations/${code}/properties`, { properties: { seats: 5 } })).status).toBe(200);
    expect(await values()).toMatchObject([{ key: "seats", value: "5" }]);
    expect((await send("PUT", `/organizations/${code}/properties/seats?value=6`)).status).toBe(200);
    expect(emulator.kinde.organizationProperties(code)).toEqual({ seats: "6" });
    emulator.kinde.setOrganizationProperties(code, { seats: null });
    expect(await values()).toMatchObject([{ key: "seats", value: null }]);
    expect(emulator.deliveries.list()).toHaveLength(events);
  });

  it("are refused if they are unknown, or belong to users", async () => {
    for (const key of ["nickname", "nothing"]) {
      const { status, json } = await send("PATCH", `/organizations/${code}/properties`, { properties: { [key]: "x" } });
      expect({ status, json }).toMatchObject({ status: 400, json: { errors: [{ code: expect.any(String) }] } });
    }
    expect((await send("GET", "/organizations/org_none/properties")).status).toBe(404);
    expect((await send("PUT", `/organizations/${code}/properties/seats`)).status).toBe(400);
  });
});

describe("the plans of an organization", () => {
  it("are listed by the organization when asked for, and announced", async () => {
    const read = async () => (await send("GET", `/organization?code=${code}&expand=billing`)).json;
    expect(await read()).not.toHaveProperty("billing");
    emulator.webhooks.register({ url: "http://127.0.0.1:9/", eventTypes: ["customer.agreement_created"] });
    emulator.kinde.assignOrganizationPlan(code, "team");
    expect(emulator.deliveries.list().map(({ type }) => type)).toEqual(["customer.agreement_created"]);
    expect(await read()).toMatchObject({ billing: { agreements: [{ plan_code: "team" }] } });
    expect((await send("GET", `/organization?code=${code}`)).json).not.toHaveProperty("billing");
    emulator.kinde.assignOrganizationPlan(code, "max");
    expect(await read()).toMatchObject({ billing: { agreements: [{ plan_code: "max" }] } });
    emulator.kinde.cancelOrganizationPlan(code);
    expect(await read()).not.toHaveProperty("billing");
  });
});
