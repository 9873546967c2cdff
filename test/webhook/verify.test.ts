import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { expect, it } from "vitest";
import { createSigningKeys } from "../../src/kinde/signing-keys.ts";
import { verifyWebhookToken } from "../../src/webhook/verify.ts";

// The key names no algorithm, so only the pinned algorithm prevents another one that the key could verify.
it("rejects algorithms other than RS256 even if the key allows them", async () => {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  const set = { keys: [{ ...(await exportJWK(publicKey)), kid: "k", use: "sig" }] };
  const keys = createSigningKeys({
    url: "https://tenant.kinde.test/.well-known/jwks",
    fetch: async () => Response.json(set),
    now: Date.now,
    maxAgeMs: 60_000,
    cooldownMs: 1_000,
    timeoutMs: 1_000,
  });
  const jwk = await exportJWK(privateKey);
  const sign = (alg: string) =>
    new CompactSign(new TextEncoder().encode('{"type":"x"}'))
      .setProtectedHeader({ alg, kid: "k" })
      .sign({ ...jwk, alg });
  expect(await verifyWebhookToken(await sign("RS256"), keys)).toEqual({ type: "x" });
  for (const alg of ["RS512", "PS256"]) {
    await expect(verifyWebhookToken(await sign(alg), keys), alg).rejects.toMatchObject({ code: "token_forged" });
  }
});
