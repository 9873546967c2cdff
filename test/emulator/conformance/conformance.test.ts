import type { Emulator } from "kinde-emulator";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { routesOf } from "../../../packages/kinde-emulator/src/create-emulator.ts";
import { createTenant } from "../../../packages/kinde-emulator/src/tenant.ts";
import { startEmulator } from "../../support/emulator.ts";
import { clientOf, useEmulator } from "../support.ts";
import digest from "./kinde-api.json" with { type: "json" };

/** `{member: shape}` for objects, `[shape]` for arrays, a type for the rest; `?` allows null. */
type Shape = string | [Shape] | { [member: string]: Shape | true };

interface Operation {
  scope?: string;
  query?: Record<string, { required: boolean; values?: string[] }>;
  body?: { required: string[]; members: string[] };
  status: number;
  answer?: Shape;
}

const operations = digest.operations as unknown as Record<string, Operation>;
const start = useEmulator();
const tenant = await createTenant({ signingKey: inject("signingKey") }, () => "http://127.0.0.1");
const routes = new Map(routesOf(tenant).map((route) => [`${route.method} ${route.path}`, route]));

/** Documented parameters and members that the emulator does not have. The README names the reason for each. */
const NOT_EMULATED: Record<string, string[]> = {
  "DELETE /user": ["is_delete_profile"],
  "GET /organizations/{org_code}/users/{user_id}/permissions": ["expand"],
  "GET /search/users": ["api_scopes", "answer.results[].api_scopes"],
  "GET /users": ["answer.users[].last_organization_sign_ins"],
  "GET /users/{user_id}/sessions": ["answer.sessions[].connection_id"],
  "PATCH /organization/{org_code}": ["expand"],
  "POST /organization": ["answer.organization.billing_customer_id"],
  "GET /environment/feature_flags": ["answer.next_token"],
};
/** Documented as plain strings, but empty for many users, and `next_token` on every last page. */
const NULL_IN_PRACTICE =
  /\.(?:next_token|provided_id|preferred_email|email|phone|username|last_name|first_name|picture|description|last_login_on)$/;
/** Lists without members in the sample. */
const EMPTY = /^answer\.(?:allowed_domains|permissions_removed|users_removed|users_updated)$/;

function problemsOf(value: unknown, shape: Shape | true, path = "answer"): string[] {
  if (shape === true) return [];
  if (typeof shape === "string") {
    const type = shape.replace("?", "");
    if (value === null) return shape.endsWith("?") || NULL_IN_PRACTICE.test(path) ? [] : [`${path}: is null`];
    const actual = Number.isInteger(value) ? "integer" : typeof value;
    return type === "any" || actual === type ? [] : [`${path}: ${actual} instead of ${type}`];
  }
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return [`${path}: not an array`];
    if (value.length === 0 && !EMPTY.test(path)) return [`${path}: the sample is empty, so nothing was compared`];
    return value.flatMap((item) => problemsOf(item, shape[0], `${path}[]`));
  }
  if (value === null && shape["?"]) return [];
  if (typeof value !== "object" || value === null) return [`${path}: not an object`];
  const { "?": _, ...members } = shape;
  const unknown = Object.keys(value).filter((name) => !(name in members));
  return [
    ...unknown.map((name) => `${path}.${name}: not documented`),
    ...Object.entries(members).flatMap(([name, member]) =>
      name in value ? problemsOf(Reflect.get(value, name), member, `${path}.${name}`) : [`${path}.${name}: missing`],
    ),
  ];
}

/** Creates state for every operation and returns the values its path, query and body need. */
async function sample({
  kinde,
  webhooks,
}: Pick<Emulator, "kinde"> & { webhooks: Pick<Emulator["webhooks"], "register"> }) {
  const { code: org_code } = kinde.createOrganization();
  const role = kinde.createRole("auditor", ["audit:read"]);
  const [permission] = kinde.permissions().filter(({ key }) => key === "audit:read");
  const spare = kinde.createPermission("audit:write");
  kinde.createRole("clerk");
  const user = kinde.createUser({
    email: "ada@example.com",
    properties: { plan_tier: "pro" },
    organizations: [{ code: org_code, roles: ["auditor"] }],
  });
  const outsider = kinde.createUser();
  kinde.assignPlan(user.id, "pro");
  kinde.createFeatureFlag("beta", true);
  const property = kinde.createProperty("nickname");
  kinde.createProperty("seats", { context: "org" });
  kinde.assignOrganizationPlan(org_code, "team");
  kinde.signIn(user.id);
  const [identity] = kinde.identities(user.id);
  const invitation = kinde.invite(org_code, { email: "grace@example.com", roles: ["auditor"] });
  const webhook = webhooks.register({ url: "http://127.0.0.1:1/hook" });
  const [category_id = ""] = tenant.world.catalogue.propertyCategories.keys();
  const customer_id = kinde.user(user.id)?.billing?.customerId ?? "";
  return {
    path: {
      org_code,
      user_id: user.id,
      identity_id: identity?.id ?? "",
      invite_code: invitation.code,
      role_id: role.id,
      permission_id: permission?.id ?? "",
      property_id: property.id,
      property_key: "nickname",
      category_id,
      feature_flag_key: "beta",
      webhook_id: webhook.id,
      event_id: kinde.emit("user.updated", { user: { id: user.id } }),
    } as Record<string, string>,
    /** Values of a path that differ from the above. */
    ownPath: {
      "PUT /organizations/{org_code}/properties/{property_key}": { property_key: "seats" },
    } as Record<string, Record<string, string>>,
    query: {
      id: user.id,
      code: org_code,
      customer_id,
      value: "true",
      name: "Beta",
      description: "Beta",
      type: "bool",
      allow_override_level: "org",
      default_value: "false",
    } as Record<string, string>,
    /** Optional parameters that make an answer complete. */
    extra: {
      "GET /organization": "expand=billing",
      "GET /user": "expand=organizations,identities,billing",
      "GET /users": `expand=organizations,identities,billing&user_id=${user.id}`,
      "GET /search/users": "query=ada@example.com&expand=organizations,identities,properties",
      "GET /billing/entitlements": "expand=plans",
    } as Record<string, string>,
    bodies: {
      "PATCH /environment/feature_flags/{feature_flag_key}": { value: "false" },
      "PATCH /identities/{identity_id}": { is_primary: true },
      "PATCH /organizations/{org_code}/sessions": { authenticated_session_lifetime: 3600 },
      "PATCH /organization/{org_code}": { name: "Renamed", is_suspended: true, is_auto_membership_enabled: true },
      "PATCH /organizations/{org_code}/properties": { properties: { seats: "5" } },
      "PATCH /organizations/{org_code}/users": { users: [{ id: outsider.id }] },
      "PATCH /permissions/{permission_id}": { name: "Renamed" },
      "PATCH /roles/{role_id}": { name: "Renamed", key: "auditor" },
      "PATCH /roles/{role_id}/permissions": { permissions: [{ id: spare.id }] },
      "PATCH /user": { given_name: "Grace", family_name: "Hopper" },
      "PATCH /users/{user_id}/properties": { properties: { nickname: "Ada" } },
      "PATCH /webhooks/{webhook_id}": { name: "Renamed" },
      "POST /billing/agreements": { customer_id, plan_code: "max" },
      "POST /feature_flags": { name: "New", key: "new", type: "bool", default_value: "true" },
      "POST /organization": { name: "New" },
      "POST /organization/{org_code}/invites": { email: "mary@example.com", roles: ["auditor"] },
      "POST /users/{user_id}/identities": { type: "email", value: "ada@example.org" },
      "POST /organizations/{org_code}/users": { users: [{ id: outsider.id }] },
      "POST /organizations/{org_code}/users/{user_id}/permissions": { permission_id: spare.id },
      "POST /organizations/{org_code}/users/{user_id}/roles": { role_id: role.id },
      "POST /permissions": { name: "New", key: "new" },
      "POST /properties": {
        name: "New",
        key: "new",
        type: "single_line_text",
        context: "usr",
        is_private: false,
        category_id,
      },
      "POST /property_categories": { name: "New", context: "usr" },
      "POST /roles": { name: "New", key: "new" },
      "POST /user": { identities: [{ type: "email", details: { email: "new@example.com" } }] },
      "POST /users/{user_id}/refresh_claims": undefined,
      "POST /webhooks": { endpoint: "http://127.0.0.1:1/x", event_types: ["user.updated"], name: "New" },
      "PUT /properties/{property_id}": { name: "Renamed", is_private: true, category_id },
      "PUT /property_categories/{category_id}": { name: "Renamed" },
    } as Record<string, Record<string, unknown> | undefined>,
  };
}

async function signIn(emulator: Emulator, userId: string) {
  emulator.signInAs(userId);
  const [application] = emulator.applications.list();
  const redirect_uri = "http://localhost/callback";
  const params = { client_id: application?.clientId ?? "", redirect_uri, response_type: "code" };
  await fetch(`${emulator.url}/oauth2/auth?${new URLSearchParams(params)}`, { redirect: "manual" });
}

type Sample = Awaited<ReturnType<typeof sample>>;

/** An emulator with samples, for calls that change nothing. */
let shared: { emulator: Emulator; values: Sample; call: Awaited<ReturnType<typeof clientOf>> };
beforeAll(async () => {
  const emulator = await startEmulator({ users: 3 });
  shared = { emulator, values: await sample(emulator), call: await clientOf(emulator) };
});
afterAll(() => shared.emulator.close());

async function prepared(name: string) {
  const emulator = await start({ users: 3 });
  const values = await sample(emulator);
  if (name === "GET /users/{user_id}/sessions") await signIn(emulator, values.path.user_id ?? "");
  return { emulator, ...callOf(name, values) };
}

function callOf(name: string, { path: shared, ownPath, query, extra, bodies }: Sample) {
  const params = { ...shared, ...ownPath[name] };
  const [method = "", pattern = ""] = name.split(" ");
  const path = pattern.replaceAll(/\{(\w+)\}/g, (_, param: string) => encodeURIComponent(params[param] ?? ""));
  const required = Object.entries(operations[name]?.query ?? {}).flatMap(([key, { required }]) =>
    required ? [key] : [],
  );
  const pathWith = (keys: readonly string[]) => {
    const text = keys.map((key) => `${key}=${encodeURIComponent(query[key] ?? "")}`);
    return `${path}?${[...text, ...(extra[name] ? [extra[name]] : [])].join("&")}`;
  };
  return { method, pathWith, required, body: bodies[name] };
}

const names = [...routes.keys()];

describe("the Management API, compared with Kinde's description of it", () => {
  it("has no operation that is not documented", () => {
    expect(names.filter((name) => operations[name] === undefined)).toEqual([]);
    expect(Object.keys(operations).filter((name) => !routes.has(name))).toEqual([]);
  });

  it.each(names)("%s requires the documented scope", (name) => {
    expect(routes.get(name)?.scope).toBe(operations[name]?.scope);
  });

  it.each(names)("%s reads the documented query parameters and no others", async (name) => {
    const own = await createTenant({ users: 3, signingKey: inject("signingKey") }, () => "http://127.0.0.1");
    const route = routesOf(own).find((one) => `${one.method} ${one.path}` === name);
    const { path: shared, ownPath, query, bodies } = await sample({ kinde: own.kinde, webhooks: own.registry });
    const path = { ...shared, ...ownPath[name] };
    const read = new Set<string>();
    const record = (key: string) => {
      read.add(key);
      return operations[name]?.query?.[key]?.required ? query[key] : undefined;
    };
    await route?.handle({
      target: {},
      param: (key) => path[key] ?? "",
      query: record,
      searchParams: () => new RecordedParams(record),
      body: async (schema) => schema.parse(bodies[name]),
    });
    const missing = NOT_EMULATED[name] ?? [];
    const documented = Object.keys(operations[name]?.query ?? {}).filter((key) => !missing.includes(key));
    expect([...read].sort()).toEqual(documented.sort());
  });

  it.each(names)("%s answers with the documented status and members", async (name) => {
    const { emulator, method, pathWith, required, body } = await prepared(name);
    const call = await clientOf(emulator);
    const answer = await call(method, pathWith(required), body);
    const { status, answer: shape = {} } = operations[name] as Operation;
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    const missing = NOT_EMULATED[name] ?? [];
    const problems = problemsOf(answer.body, shape);
    expect(problems.filter((problem) => !missing.some((member) => problem === `${member}: missing`))).toEqual([]);
    for (const member of missing.filter((one) => one.startsWith("answer.")))
      expect(problems, "listed as not emulated, but it is").toContain(`${member}: missing`);
  });

  const required = names.flatMap((name) => {
    const { query = {}, body } = operations[name] ?? {};
    const parameters = Object.entries(query).flatMap(([key, one]) =>
      one.required ? [{ name, where: "query", key }] : [],
    );
    return [...parameters, ...(body?.required ?? []).map((key) => ({ name, where: "body", key }))];
  });
  it.each(required)("$name requires $key in the $where", async ({ name, where, key }) => {
    const { method, pathWith, required, body } = callOf(name, shared.values);
    const { call } = shared;
    const { [key]: _, ...rest } = body ?? {};
    const answer =
      where === "body"
        ? await call(method, pathWith(required), rest)
        : await call(method, pathWith(required.filter((one) => one !== key)), body);
    expect(answer.status).toBe(400);
  });

  const sortable = names.filter((name) => operations[name]?.query?.sort);
  it.each(sortable)("%s accepts the documented values of sort, and no others", async (name) => {
    const { method, pathWith, required } = callOf(name, shared.values);
    const { call } = shared;
    const path = pathWith(required);
    for (const sort of operations[name]?.query?.sort?.values ?? [])
      expect((await call(method, `${path}&sort=${sort}`)).status, sort).toBe(200);
    expect((await call(method, `${path}&sort=nothing_asc`)).status).toBe(400);
  });

  it("answers unknown routes with ROUTE_NOT_FOUND", async () => {
    expect(await shared.call("GET", "/nothing")).toMatchObject({
      status: 404,
      body: { errors: [{ code: "ROUTE_NOT_FOUND" }] },
    });
  });
});

/** Records what a route reads from the query string itself. The search reads `properties[key]` by iterating over it. */
class RecordedParams extends URLSearchParams {
  readonly record: (key: string) => string | undefined;

  constructor(record: (key: string) => string | undefined) {
    super();
    this.record = record;
  }
  override get(key: string): string | null {
    return this.record(key) ?? null;
  }
  override [Symbol.iterator](): ReturnType<URLSearchParams["entries"]> {
    this.record("properties");
    return super[Symbol.iterator]();
  }
}
