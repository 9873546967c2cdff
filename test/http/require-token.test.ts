import * as crypto from "node:crypto";
import { Hono } from "hono";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { requireToken, sameSecret } from "../../src/http/require-token.ts";

vi.mock("node:crypto", async (original) => {
  const actual = await original<typeof crypto>();
  return { ...actual, timingSafeEqual: vi.fn(actual.timingSafeEqual) };
});

const secret = "0123456789abcdef0123456789abcdef";

beforeEach(() => {
  vi.mocked(crypto.timingSafeEqual).mockClear();
});

describe("two secrets", () => {
  it.each([
    [secret, true],
    [`${secret}0`, false],
    [secret.slice(1), false],
    [secret.toUpperCase(), false],
    ["", false],
    ["é".repeat(32), false],
  ])("are compared in constant time, whatever their lengths: %j", (given, same) => {
    expect(sameSecret(given, secret)).toBe(same);
    expect(vi.mocked(crypto.timingSafeEqual).mock.calls).toHaveLength(1);
    for (const side of vi.mocked(crypto.timingSafeEqual).mock.calls.flat()) expect(side.byteLength).toBe(32);
  });
});

it("compares the token of a request in constant time", async () => {
  const guard = requireToken({
    tokens: [{ name: "app", value: secret }],
    route: "GET /",
    clientAddress: () => "192.0.2.1",
    refuse: (context, { status, code, message }) => context.json({ code, message }, status),
  });
  const app = new Hono().use(guard).get("/", (context) => context.text("in"));
  const ask = (token: string) => app.request("/", { headers: { authorization: `Bearer ${token}` } });
  expect((await ask(secret)).status).toBe(200);
  expect((await ask(secret.replace("f", "0"))).status).toBe(401);
  expect(vi.mocked(crypto.timingSafeEqual).mock.calls).toHaveLength(2);
});
