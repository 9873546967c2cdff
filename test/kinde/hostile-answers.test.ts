import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { extraParts, organizationParts } from "kindling/contract";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFetch } from "../../src/fetch.ts";
import { createAccessTokens, createMemoryTokenStore } from "../../src/kinde/access-token.ts";
import { sameInstant } from "../../src/kinde/answers.ts";
import { fetchOrganization } from "../../src/kinde/fetch-organization.ts";
import { fetchUser } from "../../src/kinde/fetch-user.ts";
import { listDetails } from "../../src/kinde/list-details.ts";
import {
  listHolders,
  listOrganizations,
  listPermissions,
  listPermitted,
  listRoles,
} from "../../src/kinde/list-grants.ts";
import { listEveryone, listMembers } from "../../src/kinde/list-users.ts";
import { createManagementApi } from "../../src/kinde/management-api.ts";
import { searchUsers } from "../../src/kinde/search-users.ts";
import { createSigningKeys } from "../../src/kinde/signing-keys.ts";
import { createWebhooks } from "../../src/kinde/webhooks.ts";
import { testUser } from "../support/signer.ts";

const fetch = createFetch();
const call = { priority: "webhook", signal: new AbortController().signal } as const;
const id = testUser(1);

/** What a gateway answers in Kinde's place. */
const missing = Symbol("404");
const gateways: [string, unknown][] = [
  ["a 404", missing],
  ["an empty object", {}],
  ["another object", { status: "ok" }],
];

/** Answers by path without the query. A function also receives the query. */
let answers: Record<string, unknown>;
let requested: string[];
let server: Server;
let origin: string;

beforeEach(async () => {
  requested = [];
  answers = {
    "/oauth2/token": { access_token: "token", expires_in: 3600 },
    "/api/v1/user": { id, organizations: [] },
    [`/api/v1/users/${id}/properties`]: { properties: [] },
  };
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? "/", origin);
  requested.push(pathname);
  const found = answers[pathname];
  const value: unknown = typeof found === "function" ? found(searchParams) : found;
  if (value instanceof Buffer) response.writeHead(200, { "content-encoding": "gzip" }).end(value);
  else if (value === missing) response.writeHead(404).end("<html>Not found</html>");
  else response.writeHead(value === undefined ? 404 : 200).end(JSON.stringify(value ?? {}));
}

function openTokens(now = Date.now) {
  const application = { clientId: "app", clientSecret: "secret", audience: `${origin}/api` };
  return createAccessTokens({
    ...{ origin, fetch, now, timeoutMs: 10_000 },
    ...application,
    store: createMemoryTokenStore(),
  });
}

function open() {
  const kinde = { origin, fetch, now: Date.now, timeoutMs: 10_000 };
  const accessTokens = openTokens();
  const budget = {
    run: <T>(_priority: string, task: () => Promise<T>) => task(),
    pause: async () => {},
    limit: async () => "all" as const,
  };
  return createManagementApi({ ...kinde, accessTokens, budget });
}

const fetched = () => fetchUser(open(), id, { ...call, parts: new Set(extraParts) });

describe("an answer larger than its limit", () => {
  // 200 MB unpacked, less than 1 MB on the wire.
  const bomb = gzipSync(Buffer.alloc(200_000_000, 32), { level: 1 });

  it("is given up while it unpacks, not when memory holds all of it", async () => {
    answers["/api/v1/user"] = bomb;
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 5);
    const before = process.memoryUsage().rss;
    await expect(fetched()).rejects.toThrow("the answer is larger than 8 MiB");
    clearInterval(watch);
    expect(Math.max(peak, process.memoryUsage().rss) - before).toBeLessThan(100_000_000);
  });

  it("is refused although it is not packed", async () => {
    answers["/api/v1/user"] = { id, organizations: [], padding: "x".repeat(9_000_000) };
    await expect(fetched()).rejects.toThrow("the answer is larger than 8 MiB");
  });

  it("to a search makes its pages smaller, and only a user who is too large alone unreadable", async () => {
    const padding = [3_000_000, 3_000_000, 3_000_000, 9_000_000, 10].map((length) => "x".repeat(length));
    answers["/api/v1/search/users"] = (query: URLSearchParams) => {
      const from = padding.findIndex((_, n) => testUser(n) === query.get("starting_after")) + 1;
      const page = padding.slice(from, from + Number(query.get("page_size")));
      return {
        results: page.map((text, n) => ({
          id: testUser(from + n),
          total_sign_ins: 0,
          failed_sign_ins: 0,
          ...(query.get("expand")?.includes("properties") && { properties: { text } }),
        })),
      };
    };
    const seen: unknown[] = [];
    let after: string | null = null;
    do {
      const page = await searchUsers(open(), { after, pageSize: 4 }, call);
      seen.push([page.users.map(({ id }) => id), page.unreadable, page.calls]);
      after = page.next;
    } while (after !== null);
    expect(seen).toEqual([
      [[testUser(0), testUser(1)], [], 2],
      [[testUser(2)], [], 3],
      [[], [testUser(3)], 4],
      [[testUser(4)], [], 1],
      [[], [], 1],
    ]);
  });

  it("is refused from the token endpoint", async () => {
    answers["/oauth2/token"] = bomb;
    await expect(fetched()).rejects.toMatchObject({ code: "kinde_unavailable" });
  });

  it("is refused from the key server, as an outage", async () => {
    answers["/.well-known/jwks"] = bomb;
    const errors: unknown[] = [];
    const url = `${origin}/.well-known/jwks`;
    const limits = { maxAgeMs: 1_000, cooldownMs: 1_000, timeoutMs: 10_000 };
    const keys = createSigningKeys({ url, fetch, now: Date.now, ...limits, onError: (error) => errors.push(error) });
    expect(await keys.ready()).toBe(false);
    expect(String(errors)).toContain("larger than 262144 bytes");
  });
});

describe("an access token that no header can hold", () => {
  it("is refused by the token endpoint's error, not by every later call", async () => {
    answers["/oauth2/token"] = { access_token: "line\nbreak", expires_in: 3600 };
    await expect(fetched()).rejects.toThrow("issued no access token");
    expect(requested).not.toContain("/api/v1/user");
  });
});

describe("the lifetime of an access token", () => {
  const days = 86_400_000;

  it.each([
    ["at least a minute, so that calls do not pay for one each", 0.001, 50_000, 60_000],
    ["at most 30 days", 1e300, 29 * days, 30 * days],
  ])("is %s", async (_what, lifetime, within, over) => {
    answers["/oauth2/token"] = { access_token: "token", expires_in: lifetime };
    let now = 0;
    const tokens = openTokens(() => now);
    const tokensAt = async (time: number) => {
      now = time;
      await tokens.get(call.signal);
      return requested.length;
    };
    expect([await tokensAt(0), await tokensAt(within), await tokensAt(over)]).toEqual([1, 1, 2]);
  });
});

describe("pages without an end", () => {
  const pageOfUsers = (from: number) => ({ users: [{ id: testUser(from) }] });

  it("of agreements that alternate between two cursors stop the fetch", async () => {
    answers["/api/v1/user"] = { id, organizations: [], billing: { customer_id: "customer_1" } };
    answers["/api/v1/billing/agreements"] = (query: URLSearchParams) => ({
      agreements: [{ id: query.get("starting_after") === "a" ? "b" : "a", plan_code: "pro" }],
      has_more: true,
    });
    await expect(fetched()).rejects.toThrow("leads back to a page that was read before");
    expect(requested.length).toBeLessThan(10);
  });

  it("of agreements with ever new cursors stop the fetch", async () => {
    let page = 0;
    answers["/api/v1/user"] = { id, organizations: [], billing: { customer_id: "customer_1" } };
    answers["/api/v1/billing/agreements"] = () => {
      page += 1;
      return { agreements: [{ id: `agreement_${page}`, plan_code: "pro" }], has_more: true };
    };
    await expect(fetched()).rejects.toThrow("more than 20 pages");
  });

  it.each(["properties", "roles", "permissions"])("of %s are not stored in part", async (part) => {
    answers["/api/v1/user"] = { id, organizations: ["org_1"] };
    for (const grant of ["roles", "permissions"]) {
      answers[`/api/v1/organizations/org_1/users/${id}/${grant}`] = { [grant]: [], next_token: "more" };
    }
    answers[`/api/v1/users/${id}/properties`] = {
      properties: [],
      ...(part === "properties" && { next_token: "more" }),
    };
    if (part === "permissions") answers[`/api/v1/organizations/org_1/users/${id}/roles`] = { roles: [] };
    await expect(fetched()).rejects.toThrow("returned only a first page");
  });

  it("of one user's organizations are limited", async () => {
    answers["/api/v1/user"] = { id, organizations: Array.from({ length: 1_001 }, (_, n) => `org_${n}`) };
    await expect(fetched()).rejects.toMatchObject({ code: "kinde_unavailable" });
    expect(requested.filter((path) => path.includes("/organizations/"))).toEqual([]);
  });

  it("of more users than asked for are refused", async () => {
    const users = Array.from({ length: 501 }, (_, n) => ({ id: testUser(n) }));
    answers["/api/v1/users"] = { users };
    answers["/api/v1/search/users"] = { results: users };
    await expect(listEveryone(open())(null, call)).rejects.toThrow("malformed");
    await expect(searchUsers(open(), { after: null, pageSize: 500 }, call)).rejects.toThrow("malformed");
    answers["/api/v1/users"] = pageOfUsers(1);
    expect(await listEveryone(open())(null, call)).toEqual({ userIds: [testUser(1)], next: null });
  });
});

describe("a gateway's answer in Kinde's place", () => {
  const member = `/api/v1/organizations/org_1/users/${id}`;
  const isUnavailable = { code: "kinde_unavailable" };

  beforeEach(() => {
    answers["/api/v1/user"] = { id, organizations: ["org_1"], billing: { customer_id: "customer_1" } };
    answers[`${member}/roles`] = { roles: [{ id: "r1", key: "banned" }] };
    answers[`${member}/permissions`] = { code: "OK", message: "Success" };
    answers["/api/v1/billing/agreements"] = { agreements: null, has_more: false };
  });

  it("differs from Kinde's own without a list", async () => {
    expect(await fetched()).toMatchObject({
      organizations: [{ code: "org_1", roles: [{ key: "banned" }], permissions: [] }],
      billing: { agreements: [] },
    });
  });

  it.each(gateways)("never means that a user holds nothing: %s", async (_what, answer) => {
    for (const path of [`${member}/roles`, `${member}/permissions`, "/api/v1/billing/agreements"]) {
      const before = answers[path];
      answers[path] = answer;
      await expect(fetched()).rejects.toMatchObject(isUnavailable);
      answers[path] = before;
    }
  });

  it("leaves out an organization that the user has left between two calls", async () => {
    const accounts = [["org_1", "org_2"], ["org_2"]];
    answers["/api/v1/user"] = () => ({ id, organizations: accounts.shift() ?? ["org_2"] });
    for (const part of ["roles", "permissions"]) {
      answers[`${member}/${part}`] = missing;
      answers[`${member.replace("org_1", "org_2")}/${part}`] = { [part]: [] };
    }
    expect((await fetched())?.organizations.map(({ code }) => code)).toEqual(["org_2"]);
  });

  it.each([...gateways, ["another organization", { code: "org_2" }]])(
    "never means that an organization has nothing: %s",
    async (_what, answer) => {
      answers["/api/v1/organizations/org_1/properties"] = answer;
      answers["/api/v1/organization"] = answer;
      for (const part of organizationParts) {
        await expect(fetchOrganization(open(), "org_1", new Set([part]), call)).rejects.toMatchObject(isUnavailable);
      }
    },
  );

  it.each(gateways.slice(1))("is no empty list: %s", async (_what, answer) => {
    const paths = ["users", "organizations/org_1/users", "roles/r1/users", "roles", "permissions", "organizations"];
    for (const path of [...paths, "webhooks"]) answers[`/api/v1/${path}`] = answer;
    const api = open();
    const lists = [
      listEveryone(api)(null, call),
      listMembers(api, "org_1")(null, call),
      listDetails(api, [id], call),
      listHolders(api, "r1", null, call),
      listPermitted(api, { code: "org_1", permission: "p" }, null, call),
      listRoles(api, call),
      listPermissions(api, call),
      listOrganizations(api, null, call),
      createWebhooks(api).list(call),
    ];
    for (const list of lists) await expect(list).rejects.toMatchObject(isUnavailable);
  });

  it.each(gateways.slice(1))("does not say that a webhook was changed: %s", async (_what, answer) => {
    answers["/api/v1/webhooks/webhook_1"] = answer;
    const webhooks = createWebhooks(open());
    await expect(webhooks.setEventTypes("webhook_1", ["user.created"], call)).rejects.toMatchObject(isUnavailable);
    await expect(webhooks.remove("webhook_1", call)).rejects.toMatchObject(isUnavailable);
    answers["/api/v1/webhooks/webhook_1"] = { code: "WEBHOOK_DELETED", message: "Webhook deleted" };
    await expect(webhooks.remove("webhook_1", call)).resolves.toBeUndefined();
  });
});

describe("a long text in a timestamp's place", () => {
  it("is no time, and takes none", async () => {
    const text = "T".repeat(60_000);
    answers["/api/v1/user"] = { id, billing: { customer_id: "customer_1" } };
    answers[`/api/v1/users/${id}/properties`] = { properties: [] };
    const agreement = { id: "agreement_1", plan_code: "pro", expires_on: text };
    answers["/api/v1/billing/agreements"] = { agreements: [agreement], has_more: false };
    const started = performance.now();
    const user = await fetchUser(open(), id, { ...call, parts: new Set(["billing"]) });
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(user?.billing.agreements).toEqual([{ id: "agreement_1", planCode: "pro" }]);
    expect(sameInstant(text, `${text}T`)).toBe(false);
    expect(sameInstant("2026-01-02T03:04:05.123456789+11", "2026-01-01T16:04:05.123456789Z")).toBe(true);
  });
});

describe("an id that would change a path or a key", () => {
  it.each(["..", ".", "", "org/1", "org_1?x"])("is refused as an organization: %j", async (code) => {
    answers["/api/v1/user"] = { id, organizations: [code] };
    await expect(fetched()).rejects.toMatchObject({ code: "kinde_unavailable" });
    expect(requested.filter((path) => path !== "/oauth2/token").sort()).toEqual([
      "/api/v1/user",
      `/api/v1/users/${id}/properties`,
    ]);
  });

  it("never reaches another route, wherever it comes from", async () => {
    await expect(listMembers(open(), "..")(null, call)).rejects.toThrow("would change the path");
    await expect(createWebhooks(open()).remove("..", call)).rejects.toThrow("would change the path");
    expect(requested).toEqual(["/oauth2/token", "/oauth2/token"]);
  });

  it("makes an entry of the search unreadable, which is then fetched, instead of entering a path with it", async () => {
    const codes = ["..", "", "org/1", "org\n1"];
    const results = codes.map((code, n) => ({ id: testUser(n), organizations: ["org_1", code] }));
    answers["/api/v1/search/users"] = { results: [...results, { id: testUser(9), organizations: ["org_1"] }] };
    const page = await searchUsers(open(), { after: null, pageSize: 7 }, call);
    expect(page.users).toMatchObject([{ id: testUser(9), organizations: ["org_1"] }]);
    expect(page.unreadable).toEqual(codes.map((_, n) => testUser(n)));
  });

  it("is left out of a page of users, unless there are many", async () => {
    const bad = ["kp_../x", "nobody", "kp_{x}"].map((malformed) => ({ id: malformed }));
    const listed = [...bad, { id: testUser(1) }, ...bad];
    answers["/api/v1/users"] = { users: listed };
    answers["/api/v1/search/users"] = { results: listed };
    expect(await listEveryone(open())(null, call)).toEqual({ userIds: [testUser(1)], next: null });
    const page = await searchUsers(open(), { after: null, pageSize: 7 }, call);
    expect(page).toMatchObject({ users: [{ id: testUser(1) }], unreadable: [], next: testUser(1) });
    answers["/api/v1/users"] = { users: [...listed, ...bad, ...bad] };
    await expect(listEveryone(open())(null, call)).rejects.toThrow("malformed");
  });
});
