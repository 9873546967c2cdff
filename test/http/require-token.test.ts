import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { Hono } from "hono";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createTokenFinder, requireToken } from "../../src/http/require-token.ts";

const secret = "0123456789abcdef0123456789abcdef";
const readOnly = { name: "reader", scopes: new Set(["read"] as const), value: "fedcba9876543210fedcba9876543210" };
const full = { name: "full", scopes: new Set(["read", "write"] as const), value: secret };

beforeEach(() => {
  vi.spyOn(crypto, "timingSafeEqual");
  syncBuiltinESMExports();
});

afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

describe("a token", () => {
  it.each([
    [secret, "full"],
    [readOnly.value, "reader"],
    [`${secret}0`, undefined],
    [secret.slice(1), undefined],
    [secret.toUpperCase(), undefined],
    ["", undefined],
    ["é".repeat(32), undefined],
  ])("is compared with every known one in constant time, whatever its length: %j", (given, name) => {
    expect(createTokenFinder([full, readOnly])(given)?.name).toBe(name);
    expect(vi.mocked(crypto.timingSafeEqual).mock.calls).toHaveLength(2);
    for (const side of vi.mocked(crypto.timingSafeEqual).mock.calls.flat()) expect(side.byteLength).toBe(32);
  });
});

it("lets requests pass whose token has the scope, and says who calls", async () => {
  const guard = requireToken({
    tokens: [full, readOnly],
    scope: "write",
    route: "GET /",
    clientAddress: () => "192.0.2.1",
    refuse: (context, { status, code, message }) => context.json({ code, message }, status),
  });
  const app = new Hono().use(guard).get("/", (context) => context.json(context.var.caller));
  const ask = (token: string) => app.request("/", { headers: { authorization: `Bearer ${token}` } });
  expect(await (await ask(secret)).json()).toEqual({ token: "full", address: "192.0.2.1" });
  expect((await ask(secret.replace("f", "0"))).status).toBe(401);
  const refused = await ask(readOnly.value);
  expect([refused.status, await refused.json()]).toMatchObject([403, { code: "forbidden" }]);
  expect(vi.mocked(crypto.timingSafeEqual).mock.calls).toHaveLength(6);
});
