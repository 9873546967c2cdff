import * as crypto from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { sameSecret } from "../../src/http/same-secret.ts";

vi.mock("node:crypto", async (original) => {
  const actual = await original<typeof crypto>();
  return { ...actual, timingSafeEqual: vi.fn(actual.timingSafeEqual) };
});

const secret = "0123456789abcdef0123456789abcdef";

describe("two secrets", () => {
  it.each([
    [secret, true],
    [`${secret}0`, false],
    [secret.slice(1), false],
    [secret.toUpperCase(), false],
    ["", false],
    ["é".repeat(32), false],
  ])("are compared in constant time, whatever their lengths: %j", (given, same) => {
    vi.mocked(crypto.timingSafeEqual).mockClear();
    expect(sameSecret(given, secret)).toBe(same);
    expect(vi.mocked(crypto.timingSafeEqual).mock.calls).toHaveLength(1);
    for (const side of vi.mocked(crypto.timingSafeEqual).mock.calls.flat()) expect(side.byteLength).toBe(32);
  });
});
