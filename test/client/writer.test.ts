import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { inspect } from "node:util";
import { createWriter, defineFlags, KindlingError, type PropertyValue, property, type WriterOptions } from "kindling";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import { until } from "../support/until.ts";
import { workersFetch } from "../support/workers-fetch.ts";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
});
type Values = (typeof definitions)["defaults"];

const id = "kp_0123456789abcdef";
const token = "s3cret-token-of-the-test";
const success = { flags: { onboarded: true, tier: "pro" }, ticket: 7, fetchedAt: 1_000 };

interface Seen {
  method: string | undefined;
  url: string | undefined;
  authorization: string | undefined;
  type: string | undefined;
  body: unknown;
}

let server: Server;
let url: string;
let seen: Seen[];
let respond: (response: ServerResponse) => void;

beforeEach(async () => {
  seen = [];
  respond = json(200, success);
  server = createServer(async (request, response) => {
    const { method, headers } = request;
    const { authorization, "content-type": type } = headers;
    seen.push({ method, url: request.url, authorization, type, body: JSON.parse(await textOf(request)) });
    respond(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

const json = (status: number, body: unknown) => (response: ServerResponse) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
const text = (status: number, body: string) => (response: ServerResponse) => void response.writeHead(status).end(body);
const failure = (status: number, code: string, message = "As the service says.") =>
  json(status, { error: { code, message } });

const write = (
  options: Partial<WriterOptions<Values>> = {},
  properties: Record<string, PropertyValue> = { onboarded: true },
) => createWriter({ url, token, definitions, ...options }).setProperties(id, properties);

async function errorOf(writing: Promise<unknown>): Promise<KindlingError> {
  const error = await writing.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(KindlingError);
  // Includes stack and causes, as a log would.
  expect(inspect(error, { depth: 10 })).not.toContain(token);
  return error as KindlingError;
}

describe("setProperties", () => {
  it("sends the properties and answers typed flags", async () => {
    const result = await write({}, { onboarded: true, plan_tier: "pro", seats: 3, note: null });
    expect(result).toEqual(success);
    expectTypeOf(result.flags.tier).toEqualTypeOf<"free" | "pro">();
    expect(seen).toEqual([
      {
        method: "POST",
        url: `/v1/users/${id}/properties`,
        authorization: `Bearer ${token}`,
        type: "application/json",
        body: { properties: { onboarded: true, plan_tier: "pro", seats: 3, note: null }, refreshClaims: false },
      },
    ]);
  });

  it("passes refreshClaims on", async () => {
    await createWriter({ url, token, definitions }).setProperties(id, { onboarded: true }, { refreshClaims: true });
    expect(seen[0]?.body).toMatchObject({ refreshClaims: true });
  });

  it("encodes the colon of an id in the path", async () => {
    await createWriter({ url, token, definitions }).setProperties("kp:1a", { onboarded: true });
    expect(seen[0]?.url).toBe("/v1/users/kp%3A1a/properties");
  });

  it.each(["/", "///", "/kindling", "/kindling/"])("accepts a URL that ends in %s", async (path) => {
    await write({ url: url + path });
    expect(seen[0]?.url).toBe(`${path.includes("kindling") ? "/kindling" : ""}/v1/users/${id}/properties`);
  });

  it("answers only flags that fit the definitions, with defaults for the rest", async () => {
    respond = json(200, { ...success, flags: { onboarded: "yes", tier: "gold", other: 1 } });
    expect((await write()).flags).toEqual(definitions.defaults);
  });

  it("uses the given fetch, such as that of Cloudflare Workers", async () => {
    const result = await write({ fetch: async () => Response.json({ ...success, ticket: 8 }) });
    expect(result.ticket).toBe(8);
    expect(seen).toEqual([]);
    expect(await write({ fetch: workersFetch() })).toEqual(success);
  });
});

describe("setProperties makes no request", () => {
  it.each(["", "ada", "kp_", "kp_../kp_1", "kp_1/properties", `kp_${"a".repeat(65)}`])(
    "for the user id %j",
    async (bad) => {
      const writing = createWriter({ url, token, definitions }).setProperties(bad, { onboarded: true });
      expect((await errorOf(writing)).code).toBe("request_malformed");
      expect(seen).toEqual([]);
    },
  );

  it.each<[string, Record<string, unknown>]>([
    ["no property", {}],
    ["101 properties", Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`p${index}`, 1]))],
    ["an empty key", { "": "x" }],
    ["NaN, which JSON turns into null", { seats: Number.NaN }],
    ["Infinity, which JSON turns into null", { seats: Number.POSITIVE_INFINITY }],
    ["undefined, which JSON drops", { onboarded: undefined }],
    ["an object", { address: { city: "Perth" } }],
    ["a bigint", { seats: 1n }],
  ])("for %s", async (_what, properties) => {
    const error = await errorOf(write({}, properties as Record<string, PropertyValue>));
    expect(error.code).toBe("request_malformed");
    expect(error.message).not.toContain("Perth");
    expect(seen).toEqual([]);
  });

  it.each(["nonsense", "ftp://127.0.0.1", "http://user:hunter2@127.0.0.1:3000"])("to the URL %s", async (bad) => {
    const error = await errorOf(write({ url: bad }));
    expect(error).toMatchObject({ code: "service_unavailable", message: expect.stringContaining("`url`") });
    expect(inspect(error, { depth: 10 })).not.toContain("hunter2");
    expect(seen).toEqual([]);
  });

  it("with a token that no header can carry, and does not quote it", async () => {
    const error = await errorOf(write({ token: `${token}\nx: y` }));
    expect(error.code).toBe("service_unauthorized");
    expect(error.cause).toBeUndefined();
    expect(seen).toEqual([]);
  });

  it("when the function for the token takes too long, or the signal aborts meanwhile", async () => {
    const never = () => new Promise<string>(() => undefined);
    const writing = createWriter({ url, token: never, definitions, timeoutMs: 20 });
    const error = await errorOf(writing.setProperties(id, { onboarded: true }));
    expect(error).toMatchObject({ code: "service_unauthorized", message: expect.stringContaining("TimeoutError") });
    const visit = new AbortController();
    const { signal } = visit;
    const leaving = createWriter({ url, token: never, definitions }).setProperties(id, { onboarded: true }, { signal });
    visit.abort(new Error("the visitor left"));
    await expect(leaving).rejects.toThrow("the visitor left");
    expect(seen).toEqual([]);
  });

  it("when the signal is already aborted", async () => {
    const signal = AbortSignal.abort(new Error("the visitor left"));
    const writing = createWriter({ url, token, definitions }).setProperties(id, { onboarded: true }, { signal });
    await expect(writing).rejects.toThrow("the visitor left");
    expect(seen).toEqual([]);
  });
});

describe("a refusal", () => {
  it.each([
    [400, "request_malformed", "request_malformed"],
    [400, "kinde_rejected", "kinde_rejected"],
    [404, "user_not_found", "user_not_found"],
    [413, "body_too_large", "request_malformed"],
    [429, "too_many_requests", "too_many_requests"],
    [502, "kinde_unauthorized", "kinde_unauthorized"],
    [502, "kinde_forbidden", "kinde_forbidden"],
    [502, "claims_not_refreshed", "claims_not_refreshed"],
    [503, "kinde_unavailable", "kinde_unavailable"],
    [503, "throttled", "throttled"],
    [503, "write_not_visible", "write_not_visible"],
    [503, "store_unavailable", "redis_unavailable"],
  ])("with status %i and code %s reaches the app as %s, in the service's words", async (status, code, expected) => {
    respond = failure(status, code);
    expect(await errorOf(write())).toMatchObject({ code: expected, message: "As the service says." });
  });

  it("of the token asks to check it", async () => {
    respond = failure(401, "unauthorized");
    const error = await errorOf(write());
    expect(error).toMatchObject({
      code: "service_unauthorized",
      message: expect.stringContaining("KINDLING_API_TOKEN"),
    });
    expect(error.message).toContain(new URL(url).host);
  });

  it.each([
    ["the service", failure(404, "not_found")],
    ["another server", text(404, "<html>Not found</html>")],
  ])("for want of the route, by %s, says how to enable it", async (_who, answer) => {
    respond = answer;
    const error = await errorOf(write());
    expect(error).toMatchObject({ code: "service_unavailable", message: expect.stringContaining("no write route") });
  });

  it("by a proxy that limits requests is told from a failure", async () => {
    respond = text(429, "slow down");
    expect((await errorOf(write())).code).toBe("too_many_requests");
  });

  it.each([
    [500, "unexpected"],
    [503, "shutting_down"],
    [503, "constructor"],
    [502, "closed"],
  ])("with status %i and code %s, which is not for apps, counts as unavailable", async (status, code) => {
    respond = failure(status, code);
    expect(await errorOf(write())).toMatchObject({
      code: "service_unavailable",
      message: expect.stringContaining(String(status)),
    });
  });

  it.each([
    ["null", null],
    ["text", "no"],
    ["an error that is null", { error: null }],
    ["an error that is text", { error: "throttled" }],
    ["a code that is a number", { error: { code: 7, message: "x" } }],
    ["a code that is missing", { error: {} }],
  ])("with a malformed body (%s) counts as unavailable", async (_what, body) => {
    respond = json(503, body);
    expect((await errorOf(write())).code).toBe("service_unavailable");
  });

  it("without words gets some", async () => {
    respond = json(503, { error: { code: "throttled", message: { no: "text" } } });
    expect(await errorOf(write())).toMatchObject({ code: "throttled", message: expect.stringContaining("throttled") });
  });
});

describe("an answer that is not understood", () => {
  it.each<[string, (response: ServerResponse) => void]>([
    ["malformed JSON", text(200, '{"flags":')],
    ["no body", text(200, "")],
    ["a page", text(200, "<html></html>")],
    ["null", json(200, null)],
    ["no flags", json(200, { ticket: 1, fetchedAt: 1 })],
    ["flags that are a list", json(200, { ...success, flags: [] })],
    ["no ticket", json(200, { flags: {}, fetchedAt: 1 })],
    ["a ticket that is text", json(200, { ...success, ticket: "7" })],
    ["another success status", json(202, success)],
  ])("is unavailable: %s", async (_what, answer) => {
    respond = answer;
    expect((await errorOf(write())).code).toBe("service_unavailable");
  });

  it("is unavailable when it redirects: the token goes nowhere else", async () => {
    respond = (response) => void response.writeHead(307, { location: `${url}/elsewhere` }).end();
    const message = expect.stringContaining("answered with a redirect (status 307): check the URL");
    expect(await errorOf(write())).toMatchObject({ code: "service_unavailable", message });
    expect(seen).toHaveLength(1);
  });
});

describe("a service that does not answer", () => {
  const unavailable = { code: "service_unavailable", message: expect.stringContaining("Send them again") };
  const partOfBody = (response: ServerResponse) => {
    response.writeHead(200, { "content-length": "1000" }).write('{"flags":{');
  };

  it("is unavailable when the network is down", async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    const error = await errorOf(write());
    expect(error).toMatchObject(unavailable);
    expect(error.cause).toBeInstanceOf(Error);
  });

  it("is unavailable when it hangs up before or during the answer", async () => {
    respond = (response) => void response.destroy();
    expect(await errorOf(write())).toMatchObject(unavailable);
    respond = (response) => {
      partOfBody(response);
      setTimeout(() => response.destroy(), 20);
    };
    expect(await errorOf(write())).toMatchObject(unavailable);
  });

  it.each([
    ["sends nothing", () => undefined],
    ["stops in the middle of the body", partOfBody],
  ])("is unavailable after timeoutMs when it %s", async (_what, answer) => {
    respond = answer;
    const error = await errorOf(write({ timeoutMs: 100 }));
    expect(error).toMatchObject(unavailable);
    expect(error.message).toContain("100 ms");
  });

  it.each([
    ["sends nothing", () => undefined],
    ["stops in the middle of the body", partOfBody],
  ])("is given up on the signal, with its reason, when it %s", async (_what, answer) => {
    respond = answer;
    const stop = new AbortController();
    const reason = new Error("the visitor left");
    const writing = createWriter({ url, token, definitions }).setProperties(
      id,
      { onboarded: true },
      { signal: stop.signal },
    );
    const rejected = expect(writing).rejects.toBe(reason);
    await until(() => expect(seen).toHaveLength(1));
    stop.abort(reason);
    await rejected;
  });
});
