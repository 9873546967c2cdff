import { type JWK, SignJWT } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { createSigningKeys } from "../../src/kinde/signing-keys.ts";
import { verifyWebhookToken } from "../../src/webhook/verify.ts";
import { createSigner, type Signer } from "../support/signer.ts";

const cooldownMs = 30_000;
const maxAgeMs = 600_000;
let signer: Signer;
let clock: number;

beforeEach(async () => {
  signer = await createSigner();
  clock = 1_000_000;
});

function verifier() {
  const now = () => clock;
  const keys = createSigningKeys({
    url: signer.url,
    fetch: signer.fetch,
    now,
    maxAgeMs,
    cooldownMs,
    timeoutMs: 1_000,
  });
  const verify = async (header: Record<string, string> = {}) =>
    verifyWebhookToken(await signer.sign({ a: 1 }, header), keys);
  return { keys, verify };
}

describe("signing keys", () => {
  it("are fetched once for many tokens", async () => {
    const { verify } = verifier();
    await Promise.all(Array.from({ length: 50 }, () => verify()));
    expect(signer.fetches()).toBe(1);
  });

  it("cost one fetch per cooldown under a flood of unknown kids", async () => {
    const { verify } = verifier();
    await verify();
    clock += cooldownMs;
    const flood = Array.from({ length: 100 }, (_, n) => verify({ kid: `random-${n}` }));
    const codes = (await Promise.allSettled(flood)).map((result) => result.status === "rejected" && result.reason.code);
    // A token that arrives while the key set is under way can name a newer key.
    expect(codes.every((code) => code === "token_forged" || code === "key_unknown")).toBe(true);
    expect(codes).toContain("token_forged");
    expect(signer.fetches()).toBe(2);
    clock += cooldownMs - 1;
    const further = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => verify({ kid: `later-${n}` })));
    expect(further.every((result) => result.status === "rejected" && result.reason.code === "key_unknown")).toBe(true);
    expect(signer.fetches()).toBe(2);
  });

  it("are fetched again after Kinde has rotated them; until then a new key is unknown, not forged", async () => {
    const { verify } = verifier();
    await verify();
    await signer.rotate();
    await expect(verify()).rejects.toMatchObject({ code: "key_unknown" });
    expect(signer.fetches()).toBe(1);
    clock += cooldownMs;
    await expect(verify()).resolves.toMatchObject({ a: 1 });
  });

  it("are fetched again although the clock stepped back by hours: for a new key, and once they are old", async () => {
    const { verify } = verifier();
    await verify();
    clock -= 5 * 3_600_000;
    await verify();
    expect(signer.fetches()).toBe(2);
    await signer.rotate();
    clock -= 5 * 3_600_000;
    await expect(verify()).resolves.toMatchObject({ a: 1 });
    expect(signer.fetches()).toBe(3);
  });

  it.each([7, null, ["key-1"], { key: 1 }])("are not asked for by an id that is no text: %j", async (kid) => {
    const { keys } = verifier();
    await keys.ready();
    clock += cooldownMs;
    const [, payload, signature] = (await signer.sign({ a: 1 })).split(".");
    const header = Buffer.from(JSON.stringify({ alg: "RS256", kid })).toString("base64url");
    const verified = verifyWebhookToken(`${header}.${payload}.${signature}`, keys);
    await expect(verified).rejects.toMatchObject({ code: "token_forged" });
    expect(signer.fetches()).toBe(1);
  });

  it("keep serving while the key server is down, however old they are", async () => {
    const { verify } = verifier();
    await verify();
    signer.fail(new Error("down"));
    clock += 100 * maxAgeMs;
    await expect(verify()).resolves.toMatchObject({ a: 1 });
    await expect(verify()).resolves.toMatchObject({ a: 1 });
    expect(signer.fetches()).toBe(2);
  });

  it("distinguish an outage from a forgery, with one fetch per cooldown", async () => {
    const { keys, verify } = verifier();
    signer.fail(503);
    await expect(verify()).rejects.toMatchObject({ code: "keys_unavailable" });
    await expect(verify()).rejects.toMatchObject({ code: "keys_unavailable" });
    expect(await keys.ready()).toBe(false);
    expect(signer.fetches()).toBe(1);
    signer.fail(undefined);
    clock += cooldownMs;
    await expect(verify()).resolves.toMatchObject({ a: 1 });
    clock += cooldownMs;
    await expect(verify({ kid: "nobody" })).rejects.toMatchObject({ code: "token_forged" });
  });
});

describe("a malformed key set", () => {
  it.each(['{"keys":[null]}', '{"keys":[]}', "[]", "<html>"])(
    "counts as an outage, not as a forgery: %s",
    async (text) => {
      const keys = createSigningKeys({
        url: signer.url,
        fetch: async () => new Response(text),
        now: () => clock,
        maxAgeMs,
        cooldownMs,
        timeoutMs: 1_000,
      });
      await expect(verifyWebhookToken(await signer.sign({ a: 1 }), keys)).rejects.toMatchObject({
        code: "keys_unavailable",
      });
      expect(await keys.ready()).toBe(false);
    },
  );
});

describe("one unusable key in the set", () => {
  const spoiled = (spoil: (keys: JWK[]) => unknown[]) => async () => {
    const { keys } = (await (await signer.fetch(signer.url)).json()) as { keys: JWK[] };
    return Response.json({ keys: spoil(keys) });
  };
  const open = (fetch: typeof globalThis.fetch) =>
    createSigningKeys({ url: signer.url, fetch, now: () => clock, maxAgeMs, cooldownMs, timeoutMs: 1_000 });

  it.each<[string, (keys: JWK[]) => unknown[]]>([
    ["is not an object", (keys) => [null, "key", ...keys]],
    ["has no modulus", (keys) => [{ kty: "RSA", kid: "broken", alg: "RS256", use: "sig" }, ...keys]],
    ["is encrypted with", (keys) => [...keys.map((key) => ({ ...key, use: "enc" })), ...keys]],
    ["has the same id as a usable one", (keys) => [...keys.map(({ n: _n, ...rest }) => rest), ...keys]],
  ])("does not disable the others if it %s", async (_what, spoil) => {
    const keys = open(spoiled(spoil));
    await expect(verifyWebhookToken(await signer.sign({ a: 1 }), keys)).resolves.toMatchObject({ a: 1 });
  });

  it("is told apart from a usable one of the same id, or of none, by the signature", async () => {
    const foreign = (await (await (await createSigner()).fetch(signer.url)).json()) as { keys: JWK[] };
    const sign = await signer.sign({ a: 1 });
    const twins = open(
      spoiled((keys) => [...foreign.keys.map((key) => ({ ...key, kid: signer.kid() })), ...keys, ...keys]),
    );
    await expect(verifyWebhookToken(sign, twins)).resolves.toMatchObject({ a: 1 });
    const nameless = open(spoiled((keys) => [...foreign.keys, ...keys].map(({ kid: _kid, ...key }) => key)));
    const unnamed = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: "RS256" }).sign(signer.privateKey());
    await expect(verifyWebhookToken(unnamed, nameless)).resolves.toMatchObject({ a: 1 });
    const forged = (await createSigner()).sign({ a: 1 }, { kid: signer.kid() });
    await expect(verifyWebhookToken(await forged, twins)).rejects.toMatchObject({ code: "token_forged" });
  });

  it("is an outage for the tokens that it signs, not a forgery", async () => {
    const keys = open(spoiled((all) => all.map(({ n: _n, ...rest }) => rest)));
    await expect(verifyWebhookToken(await signer.sign({ a: 1 }), keys)).rejects.toMatchObject({
      code: "keys_unavailable",
    });
  });
});
