import type { Emulator } from "kinde-emulator";
import { extraParts } from "kindling/contract";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { ThrottledError } from "../../src/errors.ts";
import { createFetch } from "../../src/fetch.ts";
import { type AccessTokenStore, createAccessTokens, createMemoryTokenStore } from "../../src/kinde/access-token.ts";
import { fetchUser } from "../../src/kinde/fetch-user.ts";
import { createManagementApi, type ManagementApi } from "../../src/kinde/management-api.ts";
import type { OnAnswer } from "../../src/kinde/request.ts";
import { createRedisTokenStore } from "../../src/redis/access-token-store.ts";
import { startEmulator } from "../support/emulator.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();
let emulator: Emulator;
let pauses: number[];
let limits: [subject: string, ms: number][];
const { signal } = new AbortController();

beforeEach(async () => {
  emulator = await startEmulator();
  pauses = [];
  limits = [];
  // An earlier emulator can have had the same port, and with it the same token key.
  await forgetToken();
});

afterEach(() => emulator.close());

/** The store of the fleet's token. */
const tokenStore = (now = Date.now) =>
  createRedisTokenStore({ ...context, now, lockMs: 5_000, domain: emulator.url, ...applicationOf(emulator) });

const applicationOf = ({ clientId, audience }: Emulator) => ({ clientId, audience });

/** Deletes the fleet's token, as an operator's retry does. */
async function forgetToken(): Promise<void> {
  await tokenStore().forget((await tokenStore().read())?.token ?? "");
}

interface OpenOptions {
  secret?: string;
  store?: AccessTokenStore;
  now?: () => number;
  timeoutMs?: number;
  onAnswer?: OnAnswer;
}

function open({
  secret = emulator.clientSecret,
  now = Date.now,
  store = tokenStore(now),
  timeoutMs = 2_000,
  onAnswer = () => undefined,
}: OpenOptions = {}) {
  const kinde = { origin: emulator.url, fetch, now, timeoutMs };
  const accessTokens = createAccessTokens({ ...kinde, store, ...applicationOf(emulator), clientSecret: secret });
  const budget = {
    run: <T>(_priority: string, call: () => Promise<T>) => call(),
    pause: async (ms: number) => {
      pauses.push(ms);
    },
    limit: async (subject: string, ms: number) => {
      limits.push([subject, ms]);
      return "one" as const;
    },
  };
  return { accessTokens, api: createManagementApi({ ...kinde, accessTokens, budget, onAnswer }) };
}

const users = {
  path: "/api/v1/users",
  route: "GET /api/v1/users",
  scope: "read:users",
  answer: z.object({ code: z.string() }),
};
const fetch = createFetch();
const call = { priority: "webhook", signal } as const;

describe("the access token", () => {
  it("is requested once for the whole fleet", async () => {
    const fleet = Array.from({ length: 8 }, () => open());
    await Promise.all(fleet.map(({ api }) => api.get(users, call)));
    expect(emulator.stats.tokensIssued).toBe(1);
  });

  it("can be kept per process", async () => {
    const fleet = Array.from({ length: 2 }, () => open({ store: createMemoryTokenStore() }));
    await Promise.all(fleet.flatMap(({ api }) => [api.get(users, call), api.get(users, call)]));
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it("is renewed before it expires", async () => {
    let clock = Date.now();
    const { api } = open({ now: () => clock });
    await api.get(users, call);
    clock += 86_400_000 - 59_000;
    await api.get(users, call);
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it("is replaced by a single process when Kinde rejects it", async () => {
    let clock = Date.now();
    const fleet = Array.from({ length: 3 }, () => open({ now: () => clock }));
    await Promise.all(fleet.map(({ api }) => api.get(users, call)));
    clock += 3_600_000;
    emulator.faults.set({ kind: "error", status: 401, count: 3 });
    await Promise.all(fleet.map(({ api }) => api.get(users, call)));
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it("that Kinde rejects soon after accepting it is an outage, until it can be replaced", async () => {
    let clock = Date.now();
    const { api } = open({ now: () => clock });
    await api.get(users, call);
    clock += 30_000;
    emulator.faults.set({ kind: "error", status: 401, count: 2 });
    await expect(api.get(users, call)).rejects.toMatchObject({ code: "kinde_unavailable" });
    expect(emulator.stats.tokensIssued).toBe(1);
    clock += 31_000;
    await api.get(users, call);
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it("is not requested repeatedly when Kinde accepts none", async () => {
    emulator.faults.set({ kind: "error", status: 401 });
    const { api } = open();
    for (let n = 0; n < 5; n += 1) {
      await expect(api.get(users, call)).rejects.toMatchObject({ code: "kinde_unauthorized" });
    }
    expect(emulator.stats.tokensIssued).toBe(1);
  });

  it("fails with a configuration error that hides the secret when the secret is wrong", async () => {
    const { api } = open({ secret: "wrong-secret" });
    const error: unknown = await api.get(users, call).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "kinde_unauthorized" });
    expect(String(error)).toContain("KINDE_MANAGEMENT_CLIENT_SECRET");
    expect(String(error)).not.toContain("wrong-secret");
  });

  it("is asked for again five seconds after a rejection, although the clock stepped back by hours", async () => {
    let clock = Date.now();
    const { api } = open({ now: () => clock });
    const heal = emulator.faults.set({ kind: "error", status: 401, path: "/oauth2/token" });
    await expect(api.get(users, call)).rejects.toMatchObject({ code: "kinde_unauthorized" });
    heal();
    await expect(api.get(users, call)).rejects.toMatchObject({ code: "kinde_unauthorized" });
    clock -= 5 * 3_600_000;
    await api.get(users, call);
  });
});

describe("a missing scope", () => {
  beforeEach(() => emulator.scopes.set(["read:webhooks"]));

  const forbidden = expect.objectContaining({ code: "kinde_forbidden" });
  const fleetOf = async (size: number) => {
    const fleet = Array.from({ length: size }, () => open());
    const first = await Promise.allSettled(fleet.map(({ api }) => api.get(users, call)));
    expect(first).toEqual(Array(size).fill({ status: "rejected", reason: forbidden }));
    return fleet;
  };

  it("costs no tokens, however many calls fail", async () => {
    const fleet = await fleetOf(3);
    for (const { api } of [...fleet, ...fleet]) await expect(api.get(users, call)).rejects.toEqual(forbidden);
    expect(emulator.stats.tokensIssued).toBe(1);
    // A call that would fail again is not repeated either.
    expect(emulator.stats.calls["GET /api/v1/users"]).toBe(9);
  });

  it("works for all processes once it is granted and the fleet's token is deleted, at the cost of one token", async () => {
    const fleet = await fleetOf(3);
    emulator.scopes.set(["read:users"]);
    for (const { api } of fleet) await expect(api.get(users, call)).rejects.toEqual(forbidden);
    await forgetToken();
    await Promise.all([...fleet, ...fleet].map(({ api }) => api.get(users, call)));
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it("works without another token if another process has a newer one", async () => {
    const [old] = await fleetOf(1);
    emulator.scopes.set(["read:users"]);
    await forgetToken();
    await open().api.get(users, call);
    await old?.api.get(users, call);
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it("costs one token when the fleet's token is deleted but the scope stays missing", async () => {
    const fleet = await fleetOf(3);
    await forgetToken();
    for (const { api } of [...fleet, ...fleet]) await expect(api.get(users, call)).rejects.toEqual(forbidden);
    expect(emulator.stats.tokensIssued).toBe(2);
  });

  it.each([
    ["is kept in memory", () => createMemoryTokenStore()],
    ["could not be stored in Redis", () => ({ ...tokenStore(), write: () => Promise.reject(new Error("OOM")) })],
  ])("costs no further tokens if the token %s", async (_where, store) => {
    const { api } = open({ store: store() });
    for (let n = 0; n < 5; n += 1) await expect(api.get(users, call)).rejects.toEqual(forbidden);
    expect(emulator.stats.tokensIssued).toBe(1);
  });
});

describe("a failed call", () => {
  it.each([
    ["a 500", { kind: "error", status: 500 }, "kinde_unavailable"],
    ["a 503", { kind: "error", status: 503 }, "kinde_unavailable"],
    ["a 403", { kind: "error", status: 403 }, "kinde_forbidden"],
    ["a 404", { kind: "error", status: 404 }, "kinde_not_found"],
    ["a 400", { kind: "error", status: 400 }, "kinde_rejected"],
    ["a connection reset", { kind: "reset" }, "kinde_unavailable"],
    ["a garbage body", { kind: "garbage" }, "kinde_unavailable"],
    ["a truncated body", { kind: "truncated" }, "kinde_unavailable"],
    ["a hang", { kind: "hang" }, "kinde_unavailable"],
  ] as const)("with %s has its own error code", async (_name, fault, code) => {
    emulator.faults.set(fault);
    await expect(open({ timeoutMs: 300 }).api.get(users, call)).rejects.toMatchObject({ code });
  });

  it("of several about one user, that runs out of time, ends the fetch with the name of its route", async () => {
    const userId = emulator.kinde.createUser().id;
    const route = "GET /api/v1/users/{id}/properties";
    emulator.faults.set({ kind: "hang", path: "/api/v1/users/*/properties" });
    const failed: string[] = [];
    const onAnswer: OnAnswer = (answered, status) => status === "failed" && failed.push(answered);
    const fetching = fetchUser(open({ timeoutMs: 300, onAnswer }).api, userId, { ...call, parts: new Set(extraParts) });
    await expect(fetching).rejects.toMatchObject({
      code: "kinde_unavailable",
      message: expect.stringMatching(`^${route} at .* failed: no answer within 300 ms`),
    });
    expect(failed).toEqual([route]);
  });

  it("names the missing scope", async () => {
    emulator.faults.set({ kind: "error", status: 403 });
    await expect(open().api.get(users, call)).rejects.toThrow("read:users");
  });

  it.each([
    ["of its route", {}, "GET /api/v1/users"],
    ["about its user", { subject: "kp_1" }, "kp_1"],
  ])("with a 429 limits the calls %s for as long as Kinde asks", async (_what, options, subject) => {
    emulator.faults.set({ kind: "too_many_requests", resetSeconds: 7 });
    const error: unknown = await open()
      .api.get(users, { ...call, ...options })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ThrottledError);
    expect(error).toMatchObject({ retryAfterMs: 7_000, scope: "one" });
    expect(limits).toEqual([[subject, 7_000]]);
    expect(pauses).toEqual([]);
  });

  it("with a 429 of the token endpoint pauses the fleet", async () => {
    emulator.faults.set({ kind: "too_many_requests", resetSeconds: 7, path: "/oauth2/token" });
    await expect(open().api.get(users, call)).rejects.toMatchObject({ retryAfterMs: 7_000, scope: "all" });
    expect(pauses).toEqual([7_000]);
  });

  it("with a 429 is repeated when the limit is over, if the caller is patient", async () => {
    emulator.faults.set({ kind: "too_many_requests", resetSeconds: 1, count: 1 });
    const started = performance.now();
    await open().api.get(users, { ...call, patienceMs: 5_000 });
    expect(performance.now() - started).toBeGreaterThan(900);
  });

  it("is aborted at shutdown with the reason of the signal", async () => {
    emulator.faults.set({ kind: "hang" });
    const stopping = new AbortController();
    const hanging = open().api.get(users, { priority: "webhook", signal: stopping.signal });
    setImmediate(() => stopping.abort(new Error("shutting down")));
    await expect(hanging).rejects.toThrow("shutting down");
  });
});

describe("fetching a user", () => {
  const fetched = (id: string, parts = new Set(extraParts)) => fetchUser(open().api, id, { ...call, parts });

  it("returns every part of the user", async () => {
    const { kinde } = emulator;
    kinde.createRole("admin", ["admin:access"]);
    const organization = kinde.createOrganization();
    const { id } = kinde.createUser({ phone: "+4912345", properties: { plan_tier: "pro" } });
    kinde.addToOrganization(id, organization.code, { roles: ["admin"] });
    kinde.assignPlan(id, "pro");
    const truth = kinde.user(id);
    expect(await fetched(id)).toMatchObject({
      id,
      email: truth?.email,
      phone: "+4912345",
      firstName: truth?.firstName,
      isSuspended: false,
      properties: { plan_tier: "pro" },
      organizations: [{ code: organization.code, roles: [{ key: "admin" }], permissions: [{ key: "admin:access" }] }],
      billing: { customerId: truth?.billing?.customerId, agreements: [{ planCode: "pro" }] },
    });
  });

  it("leaves out agreements that have expired", async () => {
    const { kinde } = emulator;
    const { id } = kinde.createUser();
    kinde.assignPlan(id, "pro");
    kinde.changePlan(id, "team");
    expect((await fetched(id))?.billing.agreements).toMatchObject([{ planCode: "team" }]);
    kinde.cancelPlan(id);
    expect((await fetched(id))?.billing.agreements).toEqual([]);
  });

  it.each([
    ["2024-11-18T13:32:03+11", []],
    ["2999-11-18T13:32:03+11", [{ id: "agreement_1", planCode: "pro" }]],
  ])("understands an expiry of %s", async (expires_on, agreements) => {
    const { id } = emulator.kinde.createUser();
    emulator.kinde.assignPlan(id, "pro");
    const api: ManagementApi = {
      ...open().api,
      get: async (request, options) =>
        request.route === "GET /api/v1/billing/agreements"
          ? request.answer.parse({ agreements: [{ id: "agreement_1", plan_code: "pro", expires_on }] })
          : open().api.get(request, options),
    };
    expect((await fetchUser(api, id, { ...call, parts: new Set(extraParts) }))?.billing.agreements).toEqual(agreements);
  });

  it("costs two calls if no extra parts are requested", async () => {
    const { kinde, stats } = emulator;
    const organization = kinde.createOrganization();
    const { id } = kinde.createUser({ organizations: [organization.code] });
    kinde.assignPlan(id, "pro");
    stats.reset();
    const profile = await fetched(id, new Set());
    expect(profile?.organizations).toEqual([{ code: organization.code, roles: [], permissions: [] }]);
    expect(stats.total).toBe(2);
  });

  it.each([404, 400] as const)(
    "returns undefined for a deleted user, whether Kinde answers 404 or 400 (%i)",
    async (status) => {
      emulator.faults.set({ kind: "unknown_user", status });
      const { id } = emulator.kinde.createUser();
      emulator.kinde.deleteUser(id);
      expect(await fetched(id)).toBeUndefined();
    },
  );

  it.each([400, 401, 403, 429, 500])("never treats an existing user as deleted because of a %i", async (status) => {
    const { id } = emulator.kinde.createUser();
    emulator.faults.set({ kind: "error", status, path: "/api/v1/user" });
    await expect(fetched(id)).rejects.toThrow();
  });

  it("fails with a retryable error if the properties disappear between the two calls", async () => {
    const { id } = emulator.kinde.createUser();
    emulator.faults.set({ kind: "error", status: 404, path: "/api/v1/users/*/properties" });
    await expect(fetched(id)).rejects.toMatchObject({ code: "kinde_unavailable" });
  });
});
