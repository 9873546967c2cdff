import { exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from "jose";
import { createVerifier, type VerifierOptions } from "kindling/request";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createSigner, event, type Signer, testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";
import { workersFetch } from "../support/workers-fetch.ts";

const issuer = "https://tenant.kinde.test";
const start = Date.parse("2026-11-24T12:00:00Z");
const userId = testUser(1);
let signer: Signer;
let now: number;

beforeAll(async () => {
  signer = await createSigner();
});

beforeEach(() => {
  now = start;
  signer.fail(undefined);
});

const verifier = (options: Partial<VerifierOptions> = {}) =>
  createVerifier({ issuer, clientIds: ["app_a", "app_b"], fetch: signer.fetch, now: () => now, ...options });
const claims = (changes: Record<string, unknown> = {}) => {
  const iat = start / 1000;
  return { iss: issuer, sub: userId, azp: "app_a", aud: [], iat, exp: iat + 86_400, scp: ["openid"], ...changes };
};
const refused = (reason: string, detail?: RegExp) => ({
  userId: null,
  reason,
  detail: detail === undefined ? expect.any(String) : expect.stringMatching(detail),
});

describe("createVerifier", () => {
  it("returns the user and the claims of an access token of any of the applications", async () => {
    const token = await signer.sign(claims({ azp: "app_b", permissions: ["admin:access"] }));
    expect(await verifier()(token)).toEqual({
      userId,
      claims: expect.objectContaining({ permissions: ["admin:access"] }),
    });
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["another tenant", { iss: "https://other.kinde.test" }, /iss/],
    ["no issuer", { iss: undefined }, /iss/],
    ["another application", { azp: "app_c" }, /azp/],
    ["no application", { azp: undefined }, /azp/],
    ["no expiry", { exp: undefined }, /exp/],
    ["no subject", { sub: undefined }, /sub/],
    ["a subject that is no user id", { sub: "org_1" }, /sub/],
    ["a machine", { gty: ["client_credentials"] }, /gty/],
    ["an ID token, by its audience", { aud: ["app_a"] }, /ID token/],
    ["an ID token, by at_hash", { at_hash: "x" }, /ID token/],
    ["an ID token, by nonce", { nonce: "x" }, /ID token/],
    ["a webhook, by its event id", { event_id: "event_1" }, /webhook/],
    ["a webhook, by its type", { type: "user.updated" }, /webhook/],
  ])("refuses a token of %s", async (_what, changes, detail) => {
    expect(await verifier()(await signer.sign(claims(changes)))).toEqual(refused("token_invalid", detail));
  });

  it("refuses a webhook as Kinde sends it", async () => {
    const token = await signer.sign(event("user.updated", { user: { id: userId } }));
    expect(await verifier()(token)).toEqual(refused("token_invalid"));
  });

  it("checks the audience if one is configured", async () => {
    const verify = verifier({ audience: "https://api.acme.test" });
    expect(await verify(await signer.sign(claims({ aud: ["https://api.acme.test"] })))).toMatchObject({ userId });
    expect(await verify(await signer.sign(claims()))).toEqual(refused("token_invalid", /aud/));
  });

  it("tells an expired token from an invalid one", async () => {
    const token = await signer.sign(claims());
    now = start + 86_399_000;
    expect(await verifier()(token)).toMatchObject({ userId });
    now = start + 86_401_000;
    expect(await verifier()(token)).toEqual(refused("token_expired"));
  });

  it("takes no algorithm but RS256, even for a key that names none", async () => {
    const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
    const keys = [{ ...(await exportJWK(publicKey)), kid: "plain" }];
    const verify = verifier({ fetch: async () => Response.json({ keys }) });
    const sign = async (alg: string, key: Parameters<SignJWT["sign"]>[0]) =>
      new SignJWT(claims()).setProtectedHeader({ alg, kid: "plain" }).sign(key);
    expect(await verify(await sign("RS256", privateKey))).toMatchObject({ userId });
    const secret = new TextEncoder().encode(await exportSPKI(publicKey));
    const pss = await importJWK(await exportJWK(privateKey), "PS256");
    for (const token of [new UnsecuredJWT(claims()).encode(), await sign("HS256", secret), await sign("PS256", pss)]) {
      expect(await verify(token)).toEqual(refused("token_invalid"));
    }
  });

  it("refuses a token that is too long, however valid", async () => {
    const token = await signer.sign(claims({ permissions: ["x".repeat(16_384)] }));
    expect(await verifier()(token)).toEqual(refused("token_invalid", /longer/));
  });

  it.each(["", "a.b.c", "é"])("refuses malformed text", async (token) => {
    expect(await verifier()(token)).toEqual(refused("token_invalid"));
  });

  it("names neither the token nor its claims in the detail", async () => {
    const token = await signer.sign(claims({ azp: "app_c", email: "ada@example.com" }));
    const verified = await verifier()(token);
    expect(JSON.stringify(verified)).not.toMatch(/ada@example\.com|app_c|eyJ/);
  });

  it.each([
    { issuer: "http://acme.kinde.com" },
    { issuer: "https://acme.kinde.com/path" },
    { issuer: "acme.kinde.com" },
    { issuer: "" },
    { clientIds: [] },
    { clientIds: [""] },
  ])("refuses the options %o", (options) => {
    expect(() => verifier(options)).toThrow(expect.objectContaining({ code: "invalid_options" }));
  });

  it.each(["https://tenant.kinde.test/", "http://127.0.0.1:4000", "http://localhost:4000/"])(
    "accepts the issuer %s",
    (url) => {
      expect(() => verifier({ issuer: url })).not.toThrow();
    },
  );
});

describe("the signing keys", () => {
  it("are fetched once and kept", async () => {
    const verify = verifier();
    const token = await signer.sign(claims());
    const before = signer.fetches();
    await Promise.all([verify(token), verify(token), verify(token)]);
    await verify(token);
    expect(signer.fetches() - before).toBe(1);
  });

  it("are fetched again for an unknown key, at most once per cooldown", async () => {
    const verify = verifier({ cooldownMs: 10_000 });
    await verify(await signer.sign(claims()));
    const before = signer.fetches();
    for (let n = 0; n < 20; n += 1) await verify(await signer.sign(claims(), { kid: `forged-${n}` }));
    expect(signer.fetches() - before).toBe(0);
    now += 10_001;
    for (let n = 0; n < 20; n += 1) await verify(await signer.sign(claims(), { kid: `forged-${n}` }));
    expect(signer.fetches() - before).toBe(1);
  });

  it("are fetched again after the clock was set back", async () => {
    const verify = verifier({ cooldownMs: 10_000 });
    await verify(await signer.sign(claims()));
    const before = signer.fetches();
    now -= 3_600_000;
    await verify(await signer.sign(claims(), { kid: "unknown" }));
    expect(signer.fetches() - before).toBe(1);
    now += 3_600_000;
  });

  it("prove a token invalid only if they were fetched after it came: its key can be newer", async () => {
    const rotating = await createSigner();
    const verify = verifier({ fetch: rotating.fetch, cooldownMs: 10_000 });
    await verify(await rotating.sign(claims()));
    await rotating.rotate();
    const token = await rotating.sign(claims());
    expect(await verify(token)).toEqual(refused("keys_unavailable", /in the last 10 s/));
    now += 10_001;
    expect(await verify(token)).toMatchObject({ userId });
    now += 10_001;
    expect(await verify(await rotating.sign(claims(), { kid: "nobody" }))).toEqual(refused("token_invalid"));
  });

  it.each([7, null, ["key-1"]])("are not asked for by an id that is no text: %j", async (kid) => {
    const verify = verifier();
    await verify(await signer.sign(claims()));
    now += 10_001;
    const before = signer.fetches();
    const [, payload, signature] = (await signer.sign(claims())).split(".");
    const header = Buffer.from(JSON.stringify({ alg: "RS256", kid })).toString("base64url");
    expect(await verify(`${header}.${payload}.${signature}`)).toEqual(refused("token_invalid"));
    expect(signer.fetches() - before).toBe(0);
  });

  it("serve on through an outage, for 24 hours, and an unknown key is then no proof of forgery", async () => {
    const verify = verifier();
    const lifetime = { exp: start / 1000 + 7 * 86_400 };
    await verify(await signer.sign(claims()));
    signer.fail(new TypeError("fetch failed"));
    now += 24 * 3_600_000;
    expect(await verify(await signer.sign(claims(lifetime)))).toMatchObject({ userId });
    now += 60_000;
    expect(await verify(await signer.sign(claims(lifetime)))).toEqual(refused("keys_unavailable"));
    expect(await verify(await signer.sign(claims(lifetime), { kid: "new" }))).toEqual(refused("keys_unavailable"));
    signer.fail(undefined);
    now += 60_000;
    expect(await verify(await signer.sign(claims(lifetime)))).toMatchObject({ userId });
  });

  it("are used although others beside them are malformed, or have the same id", async () => {
    const foreign = (await (await (await createSigner()).fetch("")).json()) as { keys: object[] };
    const { keys } = (await (await signer.fetch("")).json()) as { keys: object[] };
    const twins = foreign.keys.map((key) => ({ ...key, kid: signer.kid() }));
    const verify = verifier({ fetch: async () => Response.json({ keys: [null, "key", ...twins, ...keys, ...keys] }) });
    expect(await verify(await signer.sign(claims()))).toMatchObject({ userId });
    const forged = await (await createSigner()).sign(claims(), { kid: signer.kid() });
    expect(await verify(forged)).toEqual(refused("token_invalid"));
  });

  it.each([
    ["that never ends", 0],
    ["that never ended", 1_000],
  ])("are fetched again after a fetch %s, as when Cloudflare Workers cancel its request", async (_what, afterMs) => {
    let fetches = 0;
    const fetch: typeof globalThis.fetch = (...request) => {
      fetches += 1;
      return fetches === 1 ? new Promise(() => undefined) : signer.fetch(...request);
    };
    const verify = verifier({ fetch, timeoutMs: 50, cooldownMs: 10_000 });
    const token = await signer.sign(claims());
    void verify(token);
    await until(() => expect(fetches).toBe(1));
    now += afterMs;
    const later = await Promise.all([verify(token), verify(token)]);
    expect(later).toMatchObject([{ userId }, { userId }]);
    expect(fetches).toBe(2);
  });

  it("are unavailable, and no token is invalid, if no fetch ever ends", async () => {
    const verify = verifier({ fetch: () => new Promise(() => undefined), timeoutMs: 1 });
    expect(await verify(await signer.sign(claims()))).toEqual(refused("keys_unavailable"));
  });

  it("are fetched with the fetch of Cloudflare Workers", async () => {
    const verify = verifier({ fetch: workersFetch(signer.fetch) });
    expect(await verify(await signer.sign(claims()))).toMatchObject({ userId });
  });

  it.each<[string, () => Promise<Response>]>([
    ["redirects", async () => Response.redirect("https://tenant.kinde.test/elsewhere", 302)],
    ["answers 500", async () => new Response("down", { status: 500 })],
    ["answers no JSON", async () => new Response("<html>")],
    ["answers no key set", async () => Response.json({ keys: "none" })],
    [
      "answers more than 256 KiB",
      async () => {
        const { keys } = (await (await signer.fetch("")).json()) as { keys: unknown[] };
        return Response.json({ keys, padding: "x".repeat(300_000) });
      },
    ],
    ["hangs", () => new Promise(() => undefined)],
  ])("are unavailable when the key server %s", async (_what, answer) => {
    const hanging: typeof fetch = (_url, init) =>
      Promise.race([
        answer(),
        new Promise<never>((_, reject) => {
          init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
        }),
      ]);
    const verify = verifier({ fetch: hanging, timeoutMs: 50 });
    expect(await verify(await signer.sign(claims()))).toEqual(refused("keys_unavailable", /tenant\.kinde\.test/));
  });
});
