import { beforeEach, describe, expect, it } from "vitest";
import { createRedisTokenStore } from "../../src/redis/access-token-store.ts";
import { useRedis } from "../support/redis.ts";
import { unreadable } from "../support/stored.ts";

const context = useRedis();
const application = { domain: "https://acme.kinde.com", clientId: "one", audience: "https://acme.kinde.com/api" };
const store = () => createRedisTokenStore({ ...context, ...application, now: Date.now, lockMs: 60_000 });
const token = { token: "a", issuedAt: 1, expiresAt: Date.now() + 60_000 };

/** The key of the token, found by writing one. */
async function tokenKey(): Promise<string> {
  await store().write(token);
  const [key = ""] = await context.redis.keys(`*${context.keys.prefix}*access-token*`);
  return key;
}

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

describe("the stored access token", () => {
  it("is written with a version and read back", async () => {
    expect(JSON.parse((await context.redis.get(await tokenKey())) ?? "")).toEqual({ ...token, v: 1 });
    expect(await store().read()).toEqual(token);
  });

  it("is read from releases without versions", async () => {
    await context.redis.set(await tokenKey(), JSON.stringify(token));
    expect(await store().read()).toEqual(token);
  });

  it.each([
    ...unreadable(token),
    ["an empty token", JSON.stringify({ ...token, token: "" })],
    ["a token without an expiry", JSON.stringify({ token: "a", issuedAt: 1 })],
  ])("treats %s as absent", async (_what, text) => {
    await context.redis.set(await tokenKey(), text);
    expect(await store().read()).toBeUndefined();
    await store().write(token);
    expect(await store().read()).toEqual(token);
  });
});
