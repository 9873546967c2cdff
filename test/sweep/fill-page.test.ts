import { type Definitions, defineFlags, permission, plan, property } from "kindling";
import type { ProfilePart } from "kindling/contract";
import { beforeEach, describe, expect, it } from "vitest";
import { KindeError } from "../../src/errors.ts";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import type { SearchedUser } from "../../src/kinde/search-users.ts";
import { createLedger } from "../../src/redis/ledger.ts";
import { createRecords } from "../../src/redis/records.ts";
import { comparePlansStep } from "../../src/sweep/compare-plans.ts";
import { createDisputes } from "../../src/sweep/disputes.ts";
import { createFillPage } from "../../src/sweep/fill-page.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const call = { priority: "bulk", signal: new AbortController().signal } as const;
const lagMs = 120_000;
let detailCalls: number[];
let planCalls: number;
let customers: Record<string, string>;
let unlisted: Set<string>;
/** Customers that Kinde does not answer about. */
let unanswered: Set<string>;

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  detailCalls = [];
  planCalls = 0;
  customers = {};
  unlisted = new Set();
  unanswered = new Set();
});

const api: ManagementApi = {
  async get<T>({ path, route, answer }: Call<T>) {
    if (route === "GET /api/v1/billing/agreements") {
      planCalls += 1;
      const customer = new URL(path, "http://kinde").searchParams.get("customer_id") ?? "";
      if (unanswered.has(customer)) throw new KindeError("kinde_unavailable", "Kinde does not answer.");
      return answer.parse({ agreements: [{ id: "agreement_1", plan_code: "pro", expires_on: null }] });
    }
    expect(route).toBe("GET /api/v1/users");
    const ids = new URL(path, "http://kinde").searchParams.get("user_id")?.split(",") ?? [];
    detailCalls.push(ids.length);
    const users = ids.filter((id) => !unlisted.has(id));
    return answer.parse({
      users: users.map((id) => ({
        id,
        phone: `+61${id.length}`,
        billing: customers[id] && { customer_id: customers[id] },
      })),
    });
  },
  send: () => Promise.reject(new Error("Filling must not write to Kinde.")),
};

const searched = (number: number, organizations: string[] = []): SearchedUser => ({
  ...{ id: testUser(number), providedId: null, email: null, username: null, firstName: "Ada", lastName: null },
  ...{ picture: null, isSuspended: false, totalSignIns: 1, failedSignIns: 0, lastSignedIn: null, createdOn: null },
  ...{ organizations, identities: [], properties: { plan_tier: "pro" } },
});

const ledger = () => createLedger({ redis: context.redis, keys: context.keys, name: "users", now: Date.now });
const records = () => createRecords({ ...context, tombstoneTtlMs: 60_000 });

async function fill(definitions: Definitions, keep: ProfilePart[], users: SearchedUser[]) {
  const filling = createFillPage({
    ...{
      api,
      ledger: ledger(),
      records: records(),
      definitions,
      keep: new Set(keep),
      now: Date.now,
      indexLagMs: lagMs,
    },
  });
  return filling.commit(users, await filling.stamp(), call);
}

const tier = property.oneOf("plan_tier", ["free", "pro"], { default: "free" });
const plain = defineFlags({ tier });

describe("filling records from a search page", () => {
  it("makes no further calls if the flags only need properties", async () => {
    const users = [searched(1), searched(2, ["org_1"])];
    expect(await fill(plain, ["properties", "organizations"], users)).toEqual([]);
    expect(detailCalls).toEqual([]);
    const [, second] = await records().readMany(users.map(({ id }) => id));
    expect(second?.flags).toMatchObject({ flags: { tier: "pro" }, status: "present", schema: plain.schema });
    expect(second?.profile?.organizations).toEqual([{ code: "org_1", roles: [], permissions: [] }]);
  });

  it("fetches details that the search omits, 100 users per call, if the profile keeps them", async () => {
    const users = Array.from({ length: 201 }, (_, index) => searched(index + 1));
    expect(await fill(plain, ["account"], users)).toEqual([]);
    expect(detailCalls.sort()).toEqual([1, 100, 100]);
    expect((await records().read(testUser(1))).profile?.phone).toMatch(/^\+61/);
  });

  it("fetches the plans of billing customers, at a call each", async () => {
    customers = { [testUser(1)]: "customer_1" };
    const definitions = defineFlags({ tier, pro: plan("pro") });
    expect(await fill(definitions, [], [searched(1), searched(2)])).toEqual([]);
    expect(planCalls).toBe(1);
    expect((await records().read(testUser(1))).flags?.flags).toEqual({ tier: "pro", pro: true });
    expect((await records().read(testUser(2))).flags?.flags).toEqual({ tier: "pro", pro: false });
  });

  it("leaves a few customers to a refresh if Kinde does not answer about their plans, and the walk over plans too", async () => {
    const ids = [1, 2, 3, 4, 5, 6, 7].map(testUser);
    customers = Object.fromEntries(ids.map((id, index) => [id, `customer_${index + 1}`]));
    const definitions = defineFlags({ pro: plan("pro") });
    const filling = () =>
      fill(
        definitions,
        ["billing"],
        ids.map((_, index) => searched(index + 1)),
      );
    const disputes = createDisputes({ ...context, kind: "plans", settleMs: 0, clock: async () => 0 });
    const comparing = (place: { cursor: string; runId?: string } = { cursor: "0" }) =>
      comparePlansStep({ api, records: records(), disputes, definitions, now: Date.now }, place, call);
    unanswered = new Set(["customer_1", "customer_2", "customer_3", "customer_4", "customer_5", "customer_6"]);
    await expect(filling()).rejects.toThrow("does not answer");
    unanswered.delete("customer_6");
    expect((await filling()).sort()).toEqual(ids.slice(0, 5));
    unanswered.clear();
    expect(await filling()).toEqual([]);
    unanswered = new Set(["customer_2"]);
    expect(await comparing()).toMatchObject({ refresh: [testUser(2)], compared: 7 });
    // A cursor of a Redis process that is gone would skip users.
    expect(await comparing({ cursor: "1", runId: "gone" })).toMatchObject({ compared: 7 });
    unanswered = new Set(Object.values(customers));
    await expect(comparing()).rejects.toThrow("does not answer");
  });

  it("leaves organization members to a refresh if grants are needed, without fetching their details", async () => {
    const definitions = defineFlags({ tier, admin: permission("admin:access") });
    expect(await fill(definitions, ["account"], [searched(1), searched(2, ["org_1"])])).toEqual([testUser(2)]);
    expect(detailCalls).toEqual([1]);
    expect((await records().read(testUser(2))).flags).toBeUndefined();
  });

  it("detects which parts a flag function reads and never treats a missing part as empty", async () => {
    customers = { [testUser(1)]: "customer_1" };
    const reachable = defineFlags({ reachable: (profile) => profile.phone !== null });
    expect(await fill(reachable, [], [searched(3)])).toEqual([]);
    expect((await records().read(testUser(3))).flags?.flags).toEqual({ reachable: true });
    const paying = defineFlags({ paying: (profile) => profile.billing.agreements.length > 0 });
    expect(await fill(paying, [], [searched(1), searched(2)])).toEqual([testUser(1)]);
    expect((await records().read(testUser(2))).flags?.flags).toEqual({ paying: false });
    const owner = defineFlags({ owner: (profile) => profile.organizations.some(({ roles }) => roles.length > 0) });
    expect(await fill(owner, [], [searched(4, ["org_1"]), searched(5)])).toEqual([testUser(4)]);
    expect((await records().read(testUser(5))).flags?.flags).toEqual({ owner: false });
  });

  it("leaves users that the user list omits to a refresh", async () => {
    unlisted = new Set([testUser(1)]);
    expect(await fill(plain, ["account"], [searched(1), searched(2)])).toEqual([testUser(1)]);
    expect((await records().read(testUser(1))).flags).toBeUndefined();
  });

  it("backdates records by the index lag, and gives them a ticket that every refresh beats", async () => {
    await fill(plain, [], [searched(1)]);
    const { flags } = await records().read(testUser(1));
    expect(flags?.ticket).toBe(1);
    expect(flags?.fetchedAt).toBeLessThanOrEqual(Date.now() - lagMs);
  });

  it("overwrites neither older records nor tombstones, only what no record can be", async () => {
    const old = { flags: { tier: "free" }, fetchedAt: 1, ticket: 1, schema: plain.schema };
    await records().bury(testUser(1), { ...old, status: "deleted" });
    await context.redis.set(context.keys.flags(testUser(2)), JSON.stringify({ ...old, status: "present" }));
    await context.redis.set(context.keys.flags(testUser(3)), "no record");
    await context.redis.zadd(context.keys.flags(testUser(4)), 1, "no record");
    await fill(plain, [], [searched(1), searched(2), searched(3), searched(4)]);
    const stored = await records().readMany([1, 2, 3, 4].map(testUser));
    expect(stored.map(({ flags }) => [flags?.status, flags?.flags.tier])).toEqual([
      ["deleted", "free"],
      ["present", "free"],
      ["present", "pro"],
      ["present", "pro"],
    ]);
  });

  it("skips users that an acknowledged event deleted", async () => {
    const admissions = createAdmissions({
      replication: { confirm: async () => {} },
      ...context,
      queues: { enqueueRefreshes: async () => {}, enqueueFanouts: async () => {} },
      ...{ burst: { quietMs: 0, maxMs: 0 }, onError: () => {} },
    });
    const route = { to: "deleted", userId: testUser(1) } as const;
    await admissions.admit({ id: "event_1", type: "user.deleted", route });
    expect(await fill(plain, [], [searched(1)])).toEqual([]);
    expect((await records().read(testUser(1))).flags).toBeUndefined();
    // Also for a while after the event is settled.
    await ledger().settle(testUser(1), (await ledger().begin(testUser(1))).ticket);
    expect(await fill(plain, [], [searched(1)])).toEqual([]);
    expect((await records().read(testUser(1))).flags).toBeUndefined();
  });
});
