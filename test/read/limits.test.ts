import { generateKeyPairSync } from "node:crypto";
import { decodeJwt, SignJWT } from "jose";
import { afterEach, describe, expect, it } from "vitest";
import { UserTokenError } from "../../src/errors.ts";
import { createRateCounter } from "../../src/http/rate-counter.ts";
import { createSigningKeys } from "../../src/kinde/signing-keys.ts";
import { createUserTokens } from "../../src/kinde/user-tokens.ts";
import { createSigner, testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { clientId, userToken } from "../support/user-tokens.ts";

const [one, other] = ["first.0123456789abcdef0123456789ab", "second.0123456789abcdef0123456789a"];
let stack: Stack | undefined;

afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

async function start(env: Record<string, string>) {
  stack = await startStack({
    workers: false,
    env: { KINDLING_API_TOKENS: `one:read:${one},other:read:${other}`, KINDLING_CLIENT_IDS: clientId, ...env },
  });
  const { webhookUrl } = stack;
  return async (token: string, path = `/v1/users/${testUser(1)}/flags?wait=0`) => {
    const response = await fetch(new URL(path, webhookUrl), { headers: { authorization: `Bearer ${token}` } });
    const { error } = (await response.json()) as { error?: { code: string } };
    return { status: response.status, code: error?.code, retryAfter: Number(response.headers.get("retry-after")) };
  };
}

const limited = { status: 429, code: "too_many_requests", retryAfter: expect.any(Number) };

describe("reads per minute", () => {
  it("are limited for each service token", async () => {
    const ask = await start({ KINDLING_API_READS_PER_MINUTE: "2" });
    expect([(await ask(one)).status, (await ask(one)).status]).toEqual([200, 200]);
    const refused = await ask(one);
    expect(refused).toEqual(limited);
    expect(refused.retryAfter).toBeGreaterThanOrEqual(1);
    expect(refused.retryAfter).toBeLessThanOrEqual(60);
    expect((await ask(other)).status).toBe(200);
  });

  it("are limited for each user, whatever the token", async () => {
    const ask = await start({ KINDLING_USER_READS_PER_MINUTE: "2" });
    if (stack === undefined) return;
    const tokens = await Promise.all(
      ["a", "b", "c"].map((jti) => userToken(stack?.emulator as Stack["emulator"], testUser(1), { jti })),
    );
    const statuses = [];
    for (const token of tokens) statuses.push((await ask(token, "/v1/flags?wait=0")).status);
    expect(statuses).toEqual([200, 200, 429]);
    const another = await userToken(stack.emulator, testUser(2));
    expect((await ask(another, "/v1/flags?wait=0")).status).toBe(200);
  });

  it("with unknown tokens are limited for each address, and known tokens still work from there", async () => {
    const ask = await start({ KINDLING_REFUSED_PER_MINUTE: "3" });
    if (stack === undefined) return;
    const token = await userToken(stack.emulator, testUser(1));
    expect((await ask(token, "/v1/flags?wait=0")).status).toBe(200);
    const statuses = [];
    for (let n = 0; n < 5; n += 1) statuses.push((await ask(`unknown-${n}.0123456789abcdef0123456789`)).status);
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    expect((await ask(one)).status).toBe(200);
    expect((await ask(token, "/v1/flags?wait=0")).status).toBe(200);
  });
});

describe("a rate counter", () => {
  it("begins again each minute, also if the clock steps back", () => {
    let now = 1_000_000;
    const counter = createRateCounter({ perMinute: 2, now: () => now });
    const take = () => counter.take("a");
    expect([take(), take(), take()]).toEqual([undefined, undefined, 60]);
    now += 45_500;
    expect([take(), counter.take("b")]).toEqual([15, undefined]);
    now += 14_500;
    expect(take()).toBeUndefined();
    now -= 3_600_000;
    expect([take(), take(), take()]).toEqual([undefined, undefined, 60]);
  });

  it("holds a bounded number of keys, and counts all further ones together", () => {
    const counter = createRateCounter({ perMinute: 1, now: () => 0, maxKeys: 2 });
    const taken = ["a", "b", "c", "d", "a"].map((key) => counter.take(key) !== undefined);
    expect(taken).toEqual([false, false, false, true, true]);
    const roomy = createRateCounter({ perMinute: 1, now: () => 0, maxKeys: 2, sharedPerMinute: 3 });
    const more = ["a", "b", "c", "d", "e", "f", "a"].map((key) => roomy.take(key) !== undefined);
    expect(more).toEqual([false, false, false, false, false, true, true]);
  });
});

describe("verified tokens", () => {
  const issuer = "https://tenant.kinde.test";
  const setUp = async (maxKnown?: number) => {
    const signer = await createSigner();
    let now = 1_800_000_000_000;
    const keys = createSigningKeys({
      url: signer.url,
      fetch: signer.fetch,
      now: () => now,
      maxAgeMs: 600_000,
      cooldownMs: 0,
      timeoutMs: 1_000,
    });
    let verified = 0;
    const tokens = createUserTokens({
      keys: {
        get: (header, token) => {
          verified += 1;
          return keys.get(header, token);
        },
      },
      issuer,
      clientIds: new Set([clientId]),
      now: () => now,
      ...(maxKnown !== undefined && { maxKnown }),
    });
    const sign = (n: number, exp: number) =>
      signer.sign({ sub: testUser(n), iss: issuer, azp: clientId, exp: Math.floor(now / 1000) + exp });
    return { signer, tokens, sign, verified: () => verified, pass: (ms: number) => (now += ms) };
  };

  it("are remembered until they expire, at most five minutes", async () => {
    const { tokens, sign, verified, pass } = await setUp();
    const [long, short] = [await sign(1, 86_400), await sign(2, 60)];
    expect(tokens.known(long)).toBeUndefined();
    for (let n = 0; n < 3; n += 1) await tokens.verify(long);
    expect(await tokens.verify(short)).toMatchObject({
      userId: testUser(2),
      expiresAt: Number(decodeJwt(short).exp) * 1000,
    });
    expect(verified()).toBe(2);
    pass(60_000);
    expect(tokens.known(short)).toBeUndefined();
    await expect(tokens.verify(short)).rejects.toMatchObject({ code: "token_expired" });
    expect(tokens.known(long)?.userId).toBe(testUser(1));
    pass(240_000);
    expect(tokens.known(long)).toBeUndefined();
  });

  it("are at most as many as set: the oldest is forgotten first", async () => {
    const { tokens, sign } = await setUp(2);
    const all = await Promise.all([1, 2, 3].map((n) => sign(n, 600)));
    for (const token of all) await tokens.verify(token);
    expect(all.map((token) => tokens.known(token)?.userId)).toEqual([undefined, testUser(2), testUser(3)]);
  });

  it("are refused soon after their key was withdrawn", async () => {
    const { signer, tokens, sign, pass } = await setUp();
    const token = await sign(1, 86_400);
    await tokens.verify(token);
    await signer.rotate();
    pass(700_000);
    // The old key answers once more while the new ones are fetched.
    await tokens.verify(token).catch(() => undefined);
    pass(300_000);
    await until(() => expect(tokens.verify(token)).rejects.toMatchObject({ code: "token_refused" }));
  });

  it("are refused with another algorithm, even if the key would fit", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const tokens = createUserTokens({
      keys: { get: async () => publicKey },
      issuer,
      clientIds: new Set([clientId]),
      now: Date.now,
    });
    const sign = (alg: string) =>
      new SignJWT({ azp: clientId })
        .setProtectedHeader({ alg })
        .setSubject(testUser(1))
        .setIssuer(issuer)
        .setExpirationTime("1h")
        .sign(privateKey);
    expect(await tokens.verify(await sign("RS256"))).toMatchObject({ userId: testUser(1) });
    for (const alg of ["PS256", "RS512"]) {
      await expect(tokens.verify(await sign(alg))).rejects.toMatchObject({ code: "token_refused" });
    }
  });

  it("are neither accepted nor refused for good while the key server is away", async () => {
    const { signer, tokens, sign } = await setUp();
    signer.fail(503);
    const token = await sign(1, 600);
    const error = await tokens.verify(token).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UserTokenError);
    expect(error).toMatchObject({ code: "keys_unavailable" });
    signer.fail(undefined);
    expect(await tokens.verify(token)).toMatchObject({ userId: testUser(1) });
  });
});
