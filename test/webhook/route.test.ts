import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createApp } from "../../src/http/create-app.ts";
import { createRefusals } from "../../src/http/refusals.ts";
import { createSigningKeys } from "../../src/kinde/signing-keys.ts";
import { createLog } from "../../src/log.ts";
import type { Admission, RoutedEvent } from "../../src/webhook/admit.ts";
import { kindeWebhook } from "../../src/webhook/route.ts";
import { createSigner, event, eventTime, type Signer, testUser } from "../support/signer.ts";

const maxBodyBytes = 16_384;
const hour = 3_600_000;

let signer: Signer;
let admitted: RoutedEvent[];
let admission: () => Promise<Admission>;
let clock: number;
let app: ReturnType<typeof createApp>;

beforeAll(async () => {
  signer = await createSigner();
});

beforeEach(() => {
  admitted = [];
  admission = async () => "accepted";
  clock = eventTime + 1000;
  const now = () => clock;
  const keys = createSigningKeys({
    url: signer.url,
    fetch: signer.fetch,
    now,
    maxAgeMs: 600_000,
    cooldownMs: 30_000,
    timeoutMs: 1_000,
  });
  const log = createLog("silent");
  const { refuse } = createRefusals({
    clientAddress: () => "192.0.2.1",
    perMinute: 1_000,
    count: async () => undefined,
    log,
    now,
  });
  const webhook = kindeWebhook({
    keys,
    admissions: {
      admit: (routed) => {
        admitted.push(routed);
        return admission();
      },
    },
    event: { maxAgeMs: 48 * hour, maxSkewMs: 300_000, issuers: ["https://tenant.kinde.test"] },
    refreshOnSignIn: true,
    maxBodyBytes,
    now,
    refuse,
  });
  app = createApp({ routes: [webhook], readiness: async () => ({ redis: true, keys: await keys.ready() }), log });
});

const created = () => event("user.created", { user: { id: testUser(1) } });

async function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = { "content-type": "application/jwt" },
) {
  const response = await app.request("/webhooks/kinde", { method: "POST", body, headers });
  const answer = (await response.json()) as { status?: string; error?: { code: string; message: string } };
  return { status: response.status, code: answer.error?.code ?? answer.status };
}

const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("an event from Kinde", () => {
  it("is acknowledged after it is admitted", async () => {
    const payload = created();
    expect(await post(await signer.sign(payload))).toEqual({ status: 200, code: "accepted" });
    expect(admitted).toEqual([
      {
        id: payload.event_id,
        type: "user.created",
        route: { to: "users", userIds: [testUser(1)], concern: "everything" },
      },
    ]);
  });

  it("can arrive as application/json, surrounded by line breaks, with iss, aud, iat and an expired exp", async () => {
    const seconds = Math.floor(eventTime / 1000);
    const token = await signer.sign({
      ...created(),
      iss: "https://tenant.kinde.test",
      aud: ["y"],
      iat: seconds,
      exp: seconds - 60,
    });
    expect(await post(`\n${token}\r\n`, { "content-type": "application/json" })).toMatchObject({ status: 200 });
  });

  it("gets 503 while its key can be newer than the key set, and 200 once the key set is fetched again", async () => {
    expect(await post(await signer.sign(created()))).toMatchObject({ status: 200 });
    await signer.rotate();
    expect(await post(await signer.sign(created()))).toEqual({ status: 503, code: "key_unknown" });
    clock += 30_000;
    expect(await post(await signer.sign(created()))).toMatchObject({ status: 200 });
  });

  it("names an accepted issuer with or without a slash at the end", async () => {
    for (const iss of ["https://tenant.kinde.test", "https://tenant.kinde.test/"]) {
      expect(await post(await signer.sign({ ...created(), iss })), iss).toMatchObject({ status: 200 });
    }
  });

  it("is acknowledged as unknown if its type is new", async () => {
    admission = async () => "unknown";
    expect(await post(await signer.sign(event("user.levitated", {})))).toEqual({ status: 200, code: "unknown" });
    expect(admitted[0]?.route).toEqual({ to: "none", reason: "unknown" });
  });

  it("gets 503, never 200, if it cannot be stored", async () => {
    admission = () => Promise.reject(new Error("connect ECONNREFUSED"));
    expect(await post(await signer.sign(created()))).toEqual({ status: 503, code: "store_unavailable" });
  });
});

describe("a request that is not an event from Kinde is rejected and not admitted", () => {
  const cases: [
    name: string,
    status: number,
    code: string,
    body: () => Promise<string | Uint8Array<ArrayBuffer>> | string | Uint8Array<ArrayBuffer>,
  ][] = [
    ["no body", 400, "token_malformed", () => ""],
    ["text", 400, "token_malformed", () => "hello"],
    ["JSON instead of a JWT", 400, "token_malformed", () => JSON.stringify(created())],
    ["two segments", 400, "token_malformed", () => `${segment({ alg: "RS256" })}.${segment({})}`],
    ["four segments", 400, "token_malformed", async () => `${await signer.sign(created())}.x`],
    ["a header that is not JSON", 400, "token_malformed", () => `!!!.${segment({})}.c2ln`],
    ["bytes that are not text", 400, "token_malformed", () => new Uint8Array([0xff, 0xfe, 0, 0xd8])],
    [
      "a signed payload that is not JSON",
      400,
      "token_malformed",
      async () => {
        const { CompactSign } = await import("jose");
        return new CompactSign(Buffer.from("not json"))
          .setProtectedHeader({ alg: "RS256", kid: signer.kid() })
          .sign(signer.privateKey());
      },
    ],
    ["alg none", 401, "token_forged", () => `${segment({ alg: "none" })}.${segment(created())}.`],
    [
      "HS256 with the public key as secret",
      401,
      "token_forged",
      async () => {
        const jwks = JSON.stringify(await (await signer.fetch("")).json());
        return new SignJWT(created())
          .setProtectedHeader({ alg: "HS256", kid: signer.kid() })
          .sign(new TextEncoder().encode(jwks));
      },
    ],
    [
      "RS512 with the right key",
      401,
      "token_forged",
      async () => {
        const token = await signer.sign(created());
        return [segment({ alg: "RS512", kid: signer.kid() }), ...token.split(".").slice(1)].join(".");
      },
    ],
    [
      "another key with our kid",
      401,
      "token_forged",
      async () => {
        const { privateKey } = await generateKeyPair("RS256");
        return new SignJWT(created()).setProtectedHeader({ alg: "RS256", kid: signer.kid() }).sign(privateKey);
      },
    ],
    ["an unknown key", 401, "token_forged", async () => signer.sign(created(), { kid: "nobody" })],
    [
      "a key named by the token (jwk, jku, x5u)",
      401,
      "token_forged",
      async () => {
        const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
        return new SignJWT(created())
          .setProtectedHeader({
            alg: "RS256",
            jwk: await exportJWK(publicKey),
            jku: "https://evil.test/jwks",
            x5u: "https://evil.test/x5u",
          })
          .sign(privateKey);
      },
    ],
    [
      "crit",
      401,
      "token_forged",
      async () => {
        const token = await signer.sign(created());
        return [segment({ alg: "RS256", kid: signer.kid(), crit: ["exp"], exp: 1 }), ...token.split(".").slice(1)].join(
          ".",
        );
      },
    ],
    [
      "crit that the library supports",
      401,
      "token_forged",
      async () => {
        const { CompactSign } = await import("jose");
        return new CompactSign(Buffer.from(JSON.stringify(created())))
          .setProtectedHeader({ alg: "RS256", kid: signer.kid(), b64: true, crit: ["b64"] })
          .sign(signer.privateKey());
      },
    ],
    [
      "a payload changed after signing",
      401,
      "token_forged",
      async () => {
        const [header, , signature] = (await signer.sign(created())).split(".");
        return `${header}.${segment(event("user.deleted", { user: { id: testUser(2) } }))}.${signature}`;
      },
    ],
    [
      "an access token",
      401,
      "user_token_refused",
      () => signer.sign({ sub: testUser(1), scp: ["openid"], azp: "app", aud: [], permissions: ["admin:access"] }),
    ],
    [
      "an expired ID token",
      401,
      "user_token_refused",
      () => signer.sign({ sub: testUser(1), at_hash: "x", exp: 1000, email: "a@example.com" }),
    ],
    [
      "a user's token with the fields of an event",
      401,
      "user_token_refused",
      () => signer.sign({ ...created(), sub: "kp_1" }),
    ],
    [
      "a token of another kind with the fields of an event",
      400,
      "event_malformed",
      () => signer.sign({ ...created(), gty: "client_credentials" }),
    ],
    ["another issuer", 401, "issuer_refused", () => signer.sign({ ...created(), iss: "https://other.kinde.test" })],
    ["an issuer that is not text", 400, "event_malformed", () => signer.sign({ ...created(), iss: ["x"] })],
    ["no event_id", 400, "event_malformed", () => signer.sign({ ...created(), event_id: undefined })],
    [
      "an event_id with invalid characters",
      400,
      "event_malformed",
      () => signer.sign({ ...created(), event_id: "event_a b" }),
    ],
    ["no timestamp", 400, "event_malformed", () => signer.sign({ ...created(), timestamp: undefined })],
    ["a timestamp that is a number", 400, "event_malformed", () => signer.sign({ ...created(), timestamp: 1 })],
    ["data that is a list", 400, "event_malformed", () => signer.sign({ ...created(), data: [] })],
    ["a user without id", 400, "event_malformed", () => signer.sign(event("user.updated", { user: {} }))],
    ...["kp_1}{x", "kp_1\n2", "kp_../x", "*", "kp_", `kp_${"a".repeat(65)}`, "kp_ü", ""].map(
      (id): (typeof cases)[number] => [
        `the user id ${JSON.stringify(id)}`,
        400,
        "event_malformed",
        () => signer.sign(event("user.updated", { user: { id } })),
      ],
    ),
    [
      "an organization code with invalid characters",
      400,
      "event_malformed",
      () => signer.sign(event("organization.updated", { organization: { code: "org_1?x=" } })),
    ],
    ["a body that is too large", 413, "body_too_large", () => "x".repeat(maxBodyBytes + 1)],
  ];

  it.each(cases)("%s: %i %s", async (_name, status, code, body) => {
    expect(await post(await body())).toEqual({ status, code });
    expect(admitted).toEqual([]);
  });

  it("a body that is too large and has no content-length", async () => {
    const chunks = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 40; i += 1) controller.enqueue(new Uint8Array(1024).fill(120));
        controller.close();
      },
    });
    const request = new Request("http://localhost/webhooks/kinde", { method: "POST", body: chunks, duplex: "half" });
    expect((await app.request(request)).status).toBe(413);
    expect(admitted).toEqual([]);
  });

  it("repeats nothing of the request in the answer", async () => {
    const token = await signer.sign({ sub: testUser(1), email: "ada@example.com" });
    const response = await app.request("/webhooks/kinde", { method: "POST", body: token });
    const text = await response.text();
    expect(text).not.toContain("ada@example.com");
    expect(text).not.toContain(token.slice(0, 20));
  });
});

describe("the age of an event", () => {
  it.each([
    ["48 hours", 48 * hour, 200],
    ["more than 48 hours", 48 * hour + 2, 400],
    ["5 minutes ahead", -300_000, 200],
    ["more than 5 minutes ahead", -300_002, 400],
  ])("of %s", async (_name, age, status) => {
    clock = eventTime + age;
    expect((await post(await signer.sign(created()))).status).toBe(status);
  });
});

describe("other requests", () => {
  it("are answered with health, readiness or 404", async () => {
    expect((await app.request("/healthz")).status).toBe(200);
    expect(await (await app.request("/readyz")).json()).toEqual({ status: "ready", redis: true, keys: true });
    expect((await app.request("/webhooks/kinde")).status).toBe(404);
    expect((await app.request("/elsewhere", { method: "POST" })).status).toBe(404);
  });
});
