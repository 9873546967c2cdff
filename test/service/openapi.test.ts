import { Ajv2020 } from "ajv/dist/2020.js";
import type { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { describeApi, openApiRoute } from "../../src/service/openapi.ts";
import { createServiceApp, type ServiceApp } from "../../src/service/run-server.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { clientId, userToken } from "../support/user-tokens.ts";

const reading = "reading.0123456789abcdef0123456789";
const both = "the-one-token.0123456789abcdef0123";
const description = JSON.parse(JSON.stringify(describeApi()));
let stack: Stack;
let service: ServiceApp;
let app: Hono;
let id: string;
let token: string;

beforeAll(async () => {
  stack = await startStack({
    env: {
      KINDLING_API_TOKEN: both,
      KINDLING_API_TOKENS: `reader:read:${reading}`,
      KINDLING_CLIENT_IDS: clientId,
      KINDLING_MAX_BODY_BYTES: "1024",
    },
  });
  const { config, world, store, log } = stack;
  const definitions = await loadDefinitions(config.flagsFile);
  service = await createServiceApp({
    config,
    world,
    log,
    store,
    definitions,
    setProperties: createFlows({ config, world, store, definitions }).setProperties,
    signal: new AbortController().signal,
    moreRoutes: [openApiRoute()],
  });
  app = service.app;
  id = stack.emulator.kinde.createUser({}).id;
  token = await userToken(stack.emulator, id);
});

afterAll(async () => {
  await service.close();
  await stack.close();
});

describe("GET /openapi.json", () => {
  it("answers the description", async () => {
    const response = await fetch(new URL("/openapi.json", stack.webhookUrl));
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual(description);
    expect(description.openapi).toBe("3.1.0");
  });

  it("describes every route of the server, and no other", () => {
    const routes = app.routes
      .filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`);
    const described = Object.entries<object>(description.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual([...new Set(routes)].sort());
  });

  it("names the parameters of each path", () => {
    for (const [path, operations] of Object.entries<Record<string, { parameters?: { in: string; name: string }[] }>>(
      description.paths,
    )) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const { parameters = [] } of Object.values(operations)) {
        expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(named);
      }
    }
  });
});

describe("an answer", () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  ajv.addSchema({ ...description, $id: "api" });
  const point = (text: string) => text.replaceAll("~", "~0").replaceAll("/", "~1");

  type Case = [what: string, method: string, template: string, sent: () => Sent, status: number];
  interface Sent {
    path?: string;
    token?: string;
    headers?: Record<string, string>;
    body?: unknown;
  }

  const cases: Case[] = [
    ["refreshed", "post", "/v1/users/{id}/refresh", () => ({ path: `/v1/users/${id}/refresh?wait=9000` }), 200],
    ["requested", "post", "/v1/users/{id}/refresh", () => ({ path: `/v1/users/${id}/refresh` }), 202],
    ["one", "get", "/v1/users/{id}/flags", () => ({ path: `/v1/users/${id}/flags` }), 200],
    ["missing", "get", "/v1/users/{id}/flags", () => ({ path: "/v1/users/kp_1/flags?wait=0" }), 200],
    [
      "unchanged",
      "get",
      "/v1/users/{id}/flags",
      () => ({ path: `/v1/users/${id}/flags`, headers: { "if-none-match": "*" } }),
      304,
    ],
    ["bad id", "get", "/v1/users/{id}/flags", () => ({ path: "/v1/users/x/flags" }), 400],
    ["own", "get", "/v1/flags", () => ({ token }), 200],
    ["no token", "get", "/v1/flags", () => ({ token: "" }), 401],
    ["not a user", "get", "/v1/flags", () => ({}), 403],
    ["many", "post", "/v1/flags", () => ({ body: { ids: [id, "kp_1"] } }), 200],
    ["bad body", "post", "/v1/flags", () => ({ body: {} }), 400],
    ["large", "post", "/v1/flags", () => ({ body: { ids: ["x".repeat(2_000)] } }), 413],
    [
      "written",
      "post",
      "/v1/users/{id}/properties",
      () => ({ path: `/v1/users/${id}/properties`, token: both, body: { properties: { plan_tier: "pro" } } }),
      200,
    ],
    ["no scope", "post", "/v1/users/{id}/properties", () => ({ path: `/v1/users/${id}/properties`, body: {} }), 403],
    [
      "unknown user",
      "post",
      "/v1/users/{id}/properties",
      () => ({ path: "/v1/users/kp_9/properties", token: both, body: { properties: { plan_tier: "pro" } } }),
      404,
    ],
    ["no user", "get", "/v1/flags/stream", () => ({}), 400],
    ["all", "post", "/ofrep/v1/evaluate/flags", () => ({ token, body: {} }), 200],
    ["no key", "post", "/ofrep/v1/evaluate/flags", () => ({ body: {} }), 400],
    [
      "evaluated",
      "post",
      "/ofrep/v1/evaluate/flags/{key}",
      () => ({ path: "/ofrep/v1/evaluate/flags/tier", token, body: {} }),
      200,
    ],
    [
      "no such flag",
      "post",
      "/ofrep/v1/evaluate/flags/{key}",
      () => ({ path: "/ofrep/v1/evaluate/flags/x", token, body: {} }),
      404,
    ],
    ["no event", "post", "/webhooks/kinde", () => ({ body: "x" }), 400],
    ["alive", "get", "/healthz", () => ({}), 200],
    ["ready", "get", "/readyz", () => ({}), 200],
  ];

  it.each(cases)("%s: %s %s validates against its schema", async (_what, method, template, sent, status) => {
    const { path = template, token: given = reading, headers = {}, body } = sent();
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await app.request(path, {
      method: method.toUpperCase(),
      headers: {
        ...(given !== "" && { authorization: `Bearer ${given}` }),
        ...(text !== undefined && { "content-length": String(text.length) }),
        ...headers,
      },
      ...(text !== undefined && { body: text }),
    });
    expect(response.status).toBe(status);
    const described = description.paths[template][method].responses[status];
    expect(described).toBeDefined();
    if (described.content === undefined) return;
    const validate = ajv.getSchema(
      `api#/paths/${point(template)}/${method}/responses/${status}/content/application~1json/schema`,
    );
    if (validate === undefined) throw new Error("The schema cannot be compiled.");
    const answer = (await response.json()) as Record<string, unknown>;
    expect({ valid: validate(answer), errors: validate.errors }).toEqual({ valid: true, errors: null });
    expect(validate({ ...answer, error: 1, flags: 1, status: 7, users: 1, errorCode: 1, key: 1 })).toBe(false);
  });
});
