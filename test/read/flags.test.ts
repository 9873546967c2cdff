import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { clientId, userToken } from "../support/user-tokens.ts";

const reading = "reading.0123456789abcdef0123456789";
const writing = "writing.0123456789abcdef0123456789";
const both = "the-one-token.0123456789abcdef0123";
let stack: Stack;
let id: string;
let other: string;
let token: string;

beforeAll(async () => {
  stack = await startStack({
    env: {
      KINDLING_API_TOKEN: both,
      KINDLING_API_TOKENS: `reader:read:${reading}, writer:write:${writing}`,
      KINDLING_CLIENT_IDS: `another_app,${clientId}`,
      KINDLING_CORS_ORIGINS: "https://app.example.com,http://localhost:5173",
    },
  });
  id = stack.emulator.kinde.createUser({ properties: { onboarded: "true", plan_tier: "pro" } }).id;
  other = stack.emulator.kinde.createUser({}).id;
  token = await userToken(stack.emulator, id);
  await ask(`/v1/users/${id}/refresh?wait=9000`, { method: "POST" });
});

afterAll(() => stack.close());

interface Sent {
  method?: string;
  token?: string;
  headers?: Record<string, string>;
  body?: unknown;
}

async function ask(path: string, { method = "GET", token = reading, headers = {}, body }: Sent = {}) {
  const response = await fetch(new URL(path, stack.webhookUrl), {
    method,
    headers: { ...(token !== "" && { authorization: `Bearer ${token}` }), ...headers },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const answer = text === "" ? undefined : JSON.parse(text);
  return { status: response.status, headers: response.headers, answer, code: answer?.error?.code };
}

const read = {
  flags: { onboarded: true, tier: "pro", region: null, admin: false, suspended: false },
  status: "present",
  source: "record",
  fetchedAt: expect.any(Number),
  age: expect.any(Number),
  denied: [],
};

describe("GET /v1/users/{id}/flags", () => {
  it.each([
    ["a token with the scope read", () => reading],
    ["KINDLING_API_TOKEN", () => both],
    ["the user's own access token", () => token],
  ])("answers the reader's JSON for %s", async (_what, sent) => {
    const { status, answer, headers } = await ask(`/v1/users/${id}/flags`, { token: sent() });
    expect({ status, answer }).toEqual({ status: 200, answer: read });
    expect(headers.get("cache-control")).toBe("private, no-store");
    expect(headers.get("vary")).toContain("Authorization");
  });

  it("answers for a user without a record", async () => {
    const { status, answer } = await ask(`/v1/users/${testUser(1)}/flags?wait=0`);
    expect(status).toBe(200);
    expect(answer).toMatchObject({
      status: "missing",
      source: "defaults",
      fetchedAt: null,
      age: null,
      complete: false,
    });
  });

  it("waits for a refresh as maxAge and wait ask", async () => {
    stack.emulator.kinde.setProperties(other, { plan_tier: "enterprise" });
    const { answer } = await ask(`/v1/users/${other}/flags?maxAge=0&wait=9000`);
    expect(answer).toMatchObject({ status: "present", flags: { tier: "enterprise" } });
  });

  it("keeps the tag over refreshes that change no value and answers 304 to it", async () => {
    const first = await ask(`/v1/users/${id}/flags`);
    const tag = String(first.headers.get("etag"));
    const refreshed = await ask(`/v1/users/${id}/refresh?wait=9000`, { method: "POST" });
    expect(refreshed.answer.fetchedAt).toBeGreaterThan(first.answer.fetchedAt);
    for (const known of [tag, tag.replace("W/", ""), `"x", ${tag}`, "*"]) {
      const { status, answer, headers } = await ask(`/v1/users/${id}/flags`, { headers: { "if-none-match": known } });
      expect({ status, answer, tag: headers.get("etag") }).toEqual({ status: 304, answer: undefined, tag });
    }
    expect((await ask(`/v1/users/${other}/flags`, { headers: { "if-none-match": tag } })).status).toBe(200);
  });

  it.each([
    ["maxAge=soon", "maxAge"],
    ["maxAge=-1", "maxAge"],
    ["maxAge=1.5", "maxAge"],
    ["wait=10001", "wait"],
    ["wait=", "wait"],
  ])("rejects the query %s", async (query, named) => {
    const { status, code, answer } = await ask(`/v1/users/${id}/flags?${query}`);
    expect({ status, code }).toEqual({ status: 400, code: "request_malformed" });
    expect(answer.error.message).toContain(named);
  });

  it.each(["someone@example.com", "kp_1%2F..%2Fkp_2", "kp_1%7D", "kp_1%0A", "kp_%zz", `kp_${"a".repeat(65)}`])(
    "rejects the id %s",
    async (user) => {
      expect(await ask(`/v1/users/${user}/flags`)).toMatchObject({ status: 400, code: "request_malformed" });
    },
  );

  it.each(["POST", "PUT", "DELETE"])("does not exist for %s", async (method) => {
    expect(await ask(`/v1/users/${id}/flags`, { method })).toMatchObject({ status: 404, code: "not_found" });
  });
});

describe("GET /v1/flags", () => {
  it("answers for the user of the token", async () => {
    expect(await ask("/v1/flags", { token })).toMatchObject({ status: 200, answer: read });
  });

  it("answers from the token's claims before the first record", async () => {
    const fresh = await userToken(stack.emulator, testUser(2), { user_properties: { onboarded: { v: true } } });
    const { answer } = await ask("/v1/flags?wait=0", { token: fresh });
    expect(answer).toMatchObject({ status: "missing", source: "claims", flags: { onboarded: true, tier: "free" } });
  });

  it("answers 403 to a service token, which must name the user", async () => {
    expect(await ask("/v1/flags")).toMatchObject({ status: 403, code: "forbidden" });
  });
});

describe("POST /v1/flags", () => {
  const many = (body: unknown, sent: Sent = {}) => ask("/v1/flags", { method: "POST", body, ...sent });

  it("answers for many users", async () => {
    const { status, answer } = await many({ ids: [id, testUser(3), id] });
    expect(status).toBe(200);
    expect(answer).toEqual({ users: { [id]: read, [testUser(3)]: expect.objectContaining({ status: "missing" }) } });
  });

  it.each([
    ["no JSON", "{"],
    ["no body", ""],
    ["no ids", {}],
    ["an empty list", { ids: [] }],
    ["an id that is none", { ids: ["kp_1", "x"] }],
    ["a text", { ids: "kp_1" }],
    ["more than 500 ids", { ids: Array.from({ length: 501 }, (_, n) => testUser(n)) }],
    ["an unknown member", { ids: ["kp_1"], maxAge: 5 }],
  ])("rejects %s", async (_what, body) => {
    expect(await many(body)).toMatchObject({ status: 400, code: "request_malformed" });
  });

  it.each([
    ["ids", { ids: Array(13_000).fill(7) }],
    ["members", Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`m${n}`, 1]))],
  ])("says little about a body with thousands of wrong %s", async (_what, body) => {
    const { status, answer } = await many(body);
    expect(status).toBe(400);
    expect(JSON.stringify(answer).length).toBeLessThan(2_000);
  });

  it.each([
    ["no JSON", "{", {}],
    ["a compressed body", gzipSync('{"ids":["kp_1"]}').toString("latin1"), { "content-encoding": "gzip" }],
  ])("says that %s is none", async (_what, body, headers) => {
    expect((await many(body, { headers })).answer.error.message).toMatch(/not JSON/);
  });

  it("rejects a body that is too large", async () => {
    expect(await many({ ids: ["x".repeat(70_000)] })).toMatchObject({ status: 413, code: "body_too_large" });
  });

  it("answers 403 to a user's token", async () => {
    expect(await many({ ids: [id] }, { token })).toMatchObject({ status: 403, code: "forbidden" });
  });
});

describe("POST /v1/users/{id}/refresh", () => {
  const refresh = (user: string, sent: Sent = {}, query = "") =>
    ask(`/v1/users/${user}/refresh${query}`, { method: "POST", ...sent });

  it("answers 200 with the refreshed flags if that takes no longer than wait", async () => {
    const begun = Date.now();
    const { status, answer } = await refresh(id, {}, "?wait=9000");
    expect(status).toBe(200);
    expect(answer.fetchedAt).toBeGreaterThanOrEqual(begun);
  });

  it("answers 202 with what there is and refreshes in the background", async () => {
    const begun = Date.now();
    expect(await refresh(id)).toMatchObject({ status: 202, answer: { status: "present" } });
    await until(async () => expect((await stack.record(id))?.fetchedAt).toBeGreaterThanOrEqual(begun));
  });

  it("takes a record of the last 10 s for fresh with a user's token, so that users cannot use up the calls", async () => {
    await refresh(id, {}, "?wait=9000");
    const { answer } = await ask(`/v1/users/${id}/flags`);
    expect(await refresh(id, { token }, "?wait=9000")).toMatchObject({
      status: 200,
      answer: { fetchedAt: answer.fetchedAt },
    });
    const demanding = await ask("/v1/flags?maxAge=0&wait=9000", { token });
    expect(demanding.answer.fetchedAt).toBe(answer.fetchedAt);
  });

  it("rejects ids, queries and other users' tokens", async () => {
    expect(await refresh("x")).toMatchObject({ status: 400, code: "request_malformed" });
    expect(await refresh(id, {}, "?wait=long")).toMatchObject({ status: 400, code: "request_malformed" });
    expect(await refresh(other, { token })).toMatchObject({ status: 403, code: "forbidden" });
  });
});

const routes: [method: string, path: string][] = [
  ["GET", "/v1/flags"],
  ["POST", "/v1/flags"],
  ["GET", "/v1/users/kp_1/flags"],
  ["POST", "/v1/users/kp_1/refresh"],
  ["GET", "/v1/flags/stream"],
  ["POST", "/ofrep/v1/evaluate/flags"],
  ["POST", "/ofrep/v1/evaluate/flags/tier"],
];

describe.each(routes)("%s %s", (method, path) => {
  it.each([
    ["no token", ""],
    ["an unknown token", "unknown.0123456789abcdef0123456789"],
    ["a token with something appended", `${reading}x`],
    ["a token that is not a JWT", "eyJhbGciOiJSUzI1NiJ9.e30.x"],
  ])("answers 401 to %s", async (_what, sent) => {
    const { status, code, headers } = await ask(path, { method, token: sent });
    expect({ status, code: /unauthorized|token_refused/.test(code) }).toEqual({ status: 401, code: true });
    expect(headers.get("www-authenticate")).toMatch(/^Bearer/);
  });

  it("answers 403 to a token without the scope read", async () => {
    expect(await ask(path, { method, token: writing })).toMatchObject({ status: 403, code: "forbidden" });
  });
});

it("answers 403 to a user's token that asks for another user", async () => {
  expect(await ask(`/v1/users/${other}/flags`, { token })).toMatchObject({ status: 403, code: "forbidden" });
});

describe("a user's token", () => {
  const now = () => Math.floor(Date.now() / 1000);
  it.each([
    ["an expired one", () => ({ exp: now() - 1 }), "token_expired"],
    ["one that is not valid yet", () => ({ nbf: now() + 600 }), "token_refused"],
    ["one of another issuer", () => ({ iss: "https://other.kinde.com" }), "token_refused"],
    ["one without an issuer", () => ({ iss: undefined }), "token_refused"],
    ["one of an application that is not listed", () => ({ azp: "a_third_app" }), "token_refused"],
    ["one without an application", () => ({ azp: undefined }), "token_refused"],
    ["one without an expiry", () => ({ exp: undefined }), "token_refused"],
    ["one without a user", () => ({ sub: undefined }), "token_refused"],
    ["one whose subject is no user", () => ({ sub: "kp_1}:x" }), "token_refused"],
    ["an ID token, by its hash", () => ({ at_hash: "x" }), "token_refused"],
    ["an ID token, by its audience", () => ({ aud: [clientId] }), "token_refused"],
    ["a machine's token", () => ({ gty: ["client_credentials"] }), "token_refused"],
    ["a webhook", () => ({ type: "user.updated", event_id: "event_1" }), "token_refused"],
  ])("is refused with 401 if it is %s", async (_what, claims, code) => {
    const sent = await userToken(stack.emulator, id, claims());
    expect(await ask("/v1/flags", { token: sent })).toMatchObject({ status: 401, code });
  });

  it("is refused if Kinde did not sign it", async () => {
    const [header, payload, signature = ""] = token.split(".");
    const forged = `${header}.${payload}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    expect(await ask("/v1/flags", { token: forged })).toMatchObject({ status: 401, code: "token_refused" });
    const { privateKey } = await crypto.subtle.generateKey(
      { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
      true,
      ["sign", "verify"],
    );
    const claims = JSON.parse(Buffer.from(String(payload), "base64url").toString());
    const theirs = await stack.emulator.deliveries.sign(claims, { key: privateKey });
    expect(await ask("/v1/flags", { token: theirs })).toMatchObject({ status: 401, code: "token_refused" });
    const symmetric = await stack.emulator.deliveries.sign(claims, {
      key: new Uint8Array(32),
      header: { alg: "HS256" },
    });
    expect(await ask("/v1/flags", { token: symmetric })).toMatchObject({ status: 401, code: "token_refused" });
  });

  it("is refused if it is the emulator's ID token", async () => {
    const idToken = await stack.emulator.deliveries.idToken(id);
    expect(await ask("/v1/flags", { token: idToken })).toMatchObject({ status: 401, code: "token_refused" });
  });
});

describe("a browser's request", () => {
  const preflight = (origin: string) =>
    fetch(new URL("/v1/flags", stack.webhookUrl), {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
      },
    });

  it("is allowed from the listed origins", async () => {
    const response = await preflight("https://app.example.com");
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
    expect(response.headers.get("access-control-allow-headers")?.toLowerCase()).toContain("authorization");
    const { headers } = await ask("/v1/flags", { token, headers: { origin: "http://localhost:5173" } });
    expect(headers.get("access-control-allow-origin")).toBe("http://localhost:5173");
    expect(headers.get("access-control-expose-headers")).toContain("ETag");
    expect(headers.get("vary")).toContain("Origin");
  });

  it.each(["https://evil.example.com", "https://app.example.com.evil.com", "null", "http://app.example.com"])(
    "is not allowed from %s",
    async (origin) => {
      expect((await preflight(origin)).headers.get("access-control-allow-origin")).toBeNull();
      const { headers } = await ask("/v1/flags", { token, headers: { origin } });
      expect(headers.get("access-control-allow-origin")).toBeNull();
    },
  );
});
