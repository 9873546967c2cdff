import { type Definitions, defineFlags, permission, plan, property } from "kindling";
import type { ProfilePart } from "kindling/contract";
import { beforeEach, describe, expect, it } from "vitest";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import type { SearchedUser } from "../../src/kinde/search-users.ts";
import { createLedger } from "../../src/redis/ledger.ts";
import { createRecords } from "../../src/redis/records.ts";
import { createFillPage } from "../../src/sweep/fill-page.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const call = { priority: "bulk", signal: new AbortController().signal } as const;
const lagMs = 120_000;
let asked: number[];
let customers: Record<string, string>;
let unlisted: Set<string>;

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  asked = [];
  customers = {};
  unlisted = new Set();
});

const api: ManagementApi = {
  async get<T>({ path, route, answer }: Call<T>) {
    expect(route).toBe("GET /api/v1/users");
    const ids = new URL(path, "http://kinde").searchParams.get("user_id")?.split(",") ?? [];
    asked.push(ids.length);
    const users = ids.filter((id) => !unlisted.has(id));
    return answer.parse({
      users: users.map((id) => ({
        id,
        phone: `+61${id.length}`,
        billing: customers[id] && { customer_id: customers[id] },
      })),
    });
  },
  send: () => Promise.reject(new Error("nothing is to be written")),
};

const searched = (number: number, organizations: string[] = []): SearchedUser => ({
  ...{ id: testUser(number), providedId: null, email: null, username: null, firstName: "Ada", lastName: null },
  ...{ picture: null, isSuspended: false, totalSignIns: 1, failedSignIns: 0, lastSignedIn: null, createdOn: null },
  ...{ organizations, identities: [], properties: { plan_tier: "pro" } },
});

const ledger = () => createLedger(context.redis, context.keys, "users", Date.now);
const records = () => createRecords({ ...context, tombstoneTtlMs: 60_000 });

async function fill(flags: Definitions, keep: ProfilePart[], users: SearchedUser[]) {
  const filling = createFillPage({
    ...{ api, ledger: ledger(), records: records(), flags, keep: new Set(keep), now: Date.now, indexLagMs: lagMs },
  });
  return filling.commit(users, await filling.stamp(), call);
}

const tier = property.oneOf("plan_tier", ["free", "pro"], { default: "free" });
const plain = defineFlags({ tier });

describe("filling from a page", () => {
  it("asks nothing more of Kinde where only properties are wanted", async () => {
    const users = [searched(1), searched(2, ["org_1"])];
    expect(await fill(plain, ["properties", "organizations"], users)).toEqual([]);
    expect(asked).toEqual([]);
    const [, second] = await records().readMany(users.map(({ id }) => id));
    expect(second?.flags).toMatchObject({ flags: { tier: "pro" }, status: "present", schema: plain.schema });
    expect(second?.profile?.organizations).toEqual([{ code: "org_1", roles: [], permissions: [] }]);
  });

  it("looks up the details that a search does not show, a hundred a call, where the profile keeps them", async () => {
    const users = Array.from({ length: 201 }, (_, index) => searched(index + 1));
    expect(await fill(plain, ["account"], users)).toEqual([]);
    expect(asked.sort()).toEqual([1, 100, 100]);
    expect((await records().read(testUser(1))).profile?.phone).toMatch(/^\+61/);
  });

  it("leaves customers' plans to a refresh, and knows that others have none", async () => {
    customers = { [testUser(1)]: "customer_1" };
    const flags = defineFlags({ tier, pro: plan("pro") });
    expect(await fill(flags, [], [searched(1), searched(2)])).toEqual([testUser(1)]);
    expect((await records().read(testUser(2))).flags?.flags).toEqual({ tier: "pro", pro: false });
  });

  it("leaves members to a refresh where grants are wanted, and asks nothing about them", async () => {
    const flags = defineFlags({ tier, admin: permission("admin:access") });
    expect(await fill(flags, ["account"], [searched(1), searched(2, ["org_1"])])).toEqual([testUser(2)]);
    expect(asked).toEqual([1]);
    expect((await records().read(testUser(2))).flags).toBeUndefined();
  });

  it("finds out what a function looks at, and never takes 'not shown' for 'has none'", async () => {
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

  it("leaves whom the list of users does not have to a refresh", async () => {
    unlisted = new Set([testUser(1)]);
    expect(await fill(plain, ["account"], [searched(1), searched(2)])).toEqual([testUser(1)]);
    expect((await records().read(testUser(1))).flags).toBeUndefined();
  });

  it("is stamped as old as the index may be", async () => {
    const before = await ledger().draw();
    await fill(plain, [], [searched(1)]);
    const { flags } = await records().read(testUser(1));
    expect(flags?.ticket).toBeLessThan(before);
    expect(flags?.ticket).toBeGreaterThan(before - lagMs * 1000);
    expect(flags?.fetchedAt).toBeLessThanOrEqual(Date.now() - lagMs);
  });

  it("writes nothing where anything stands: neither an older record nor a tombstone", async () => {
    const old = { flags: { tier: "free" }, fetchedAt: 1, ticket: 1, schema: plain.schema };
    await records().bury(testUser(1), { ...old, status: "deleted" });
    await context.redis.set(context.keys.flags(testUser(2)), JSON.stringify({ ...old, status: "present" }));
    await context.redis.set(context.keys.flags(testUser(3)), "no record");
    await fill(plain, [], [searched(1), searched(2), searched(3)]);
    const stored = await records().readMany([1, 2, 3].map(testUser));
    expect(stored.map(({ flags }) => [flags?.status, flags?.flags.tier])).toEqual([
      ["deleted", "free"],
      ["present", "free"],
      ["present", "pro"],
    ]);
  });

  it("passes over whom an acknowledged event told deleted", async () => {
    const admissions = createAdmissions({
      ...context,
      queues: { enqueueRefreshes: async () => {}, enqueueFanouts: async () => {} },
      ...{ now: Date.now, rememberMs: 1000, burst: { quietMs: 0, maxMs: 0 }, onError: () => {} },
    });
    const route = { to: "user", userId: testUser(1), deleted: true } as const;
    await admissions.admit({ id: "event_1", type: "user.deleted", route });
    expect(await fill(plain, [], [searched(1)])).toEqual([]);
    expect((await records().read(testUser(1))).flags).toBeUndefined();
    // For a while after it was reflected too.
    await ledger().settle(testUser(1), await ledger().draw());
    expect(await fill(plain, [], [searched(1)])).toEqual([]);
    expect((await records().read(testUser(1))).flags).toBeUndefined();
  });
});
