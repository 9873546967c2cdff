import { defineFlags, fresh, property } from "kindling";
import type { Profile } from "kindling/contract";
import { beforeEach, describe, expect, it } from "vitest";
import configured from "../../kindling.flags.ts";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import { createAbsences } from "../../src/redis/absences.ts";
import { createLedger } from "../../src/redis/ledger.ts";
import { createRecords } from "../../src/redis/records.ts";
import { createRefreshUser } from "../../src/refresh/refresh-user.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const id = testUser(1);
const call = { priority: "webhook", signal: new AbortController().signal } as const;
let plan: string;
let calls: string[];
let beforeAnswer: (path: string) => Promise<void>;

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  plan = "free";
  calls = [];
  beforeAnswer = async () => {};
});

const answers: Record<string, () => unknown> = {
  "GET /api/v1/user": () => ({ id, is_suspended: false, organizations: ["org_1"] }),
  "GET /api/v1/users/{id}/properties": () => ({ properties: [{ key: "plan_tier", value: plan }] }),
  "GET /api/v1/organizations/{code}/users/{id}/roles": () => ({ roles: [{ id: "1", key: "owner" }] }),
  "GET /api/v1/organizations/{code}/users/{id}/permissions": () => ({ permissions: [] }),
};

const api: ManagementApi = {
  async get<T>({ path, route, answer }: Call<T>) {
    calls.push(route);
    const value = answers[route]?.();
    await beforeAnswer(path);
    return answer.parse(value);
  },
  send: () => Promise.reject(new Error("Unexpected write.")),
};

const ledger = () => createLedger({ redis: context.redis, keys: context.keys, name: "users", now: Date.now });
const absences = () => createAbsences({ ...context, now: Date.now, gapMs: 0 });
const records = () => createRecords({ ...context, tombstoneTtlMs: 60_000 });
const refresh = (definitions = configured as Parameters<typeof createRefreshUser>[0]["definitions"]) =>
  createRefreshUser({
    now: Date.now,
    ledger: ledger(),
    absences: absences(),
    judgeAbsence: () => Promise.reject(new Error("Nobody is absent here.")),
    records: records(),
    api,
    organizations: { addTo: async (profile) => profile },
    definitions,
    keep: new Set(["account", "properties", "organizations"]),
    extrasMaxAgeMs: 0,
  });

let serial = 0;
const acknowledge = (deleted = false) => {
  serial += 1;
  return createAdmissions({
    replication: { confirm: async () => {} },
    ...context,
    queues: { enqueueRefreshes: async () => {}, enqueueFanouts: async () => {} },
    burst: { quietMs: 0, maxMs: 0 },
    onError: () => {},
  }).admit({
    id: `event_${serial}`,
    type: "user.updated",
    route: deleted ? { to: "deleted", userId: id } : { to: "users", userIds: [id], concern: "grants" },
  });
};

describe("a refresh", () => {
  it("commits the record and removes the user from the ledger", async () => {
    await acknowledge();
    expect(await refresh()(id, call)).toMatchObject({ outcome: "committed", pending: false });
    expect((await records().read(id)).flags).toMatchObject({ flags: { tier: "free" }, schema: configured.schema });
    expect(await ledger().entry(id)).toBeUndefined();
  });

  it("does not overwrite the record of a refresh that started later", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    beforeAnswer = () => held;
    const slow = refresh()(id, call);
    await expect.poll(() => calls.length).toBe(2);
    plan = "pro";
    beforeAnswer = async () => {};
    expect(await refresh()(id, call)).toMatchObject({ outcome: "committed" });
    release();
    expect(await slow).toMatchObject({ outcome: "superseded" });
    expect((await records().read(id)).flags?.flags).toMatchObject({ tier: "pro" });
  });

  it("leaves the user in the ledger if an event arrives during the fetch", async () => {
    await acknowledge();
    beforeAnswer = async () => {
      beforeAnswer = async () => {};
      await acknowledge();
    };
    expect(await refresh()(id, call)).toMatchObject({ outcome: "committed", pending: true });
    expect(await ledger().entry(id)).toBeDefined();
    expect(await refresh()(id, call)).toMatchObject({ pending: false });
  });

  it("writes a tombstone without calling Kinde if the deletion was acknowledged", async () => {
    await refresh()(id, call);
    calls = [];
    await acknowledge(true);
    expect(await refresh()(id, call)).toMatchObject({ outcome: "deleted" });
    expect(calls).toEqual([]);
    expect(await records().read(id)).toMatchObject({ flags: { status: "deleted" }, profile: undefined });
  });

  it("writes the deny values into a tombstone, for apps that read it without a reader", async () => {
    const definitions = defineFlags({
      onboarded: property.boolean("onboarded", { default: true }),
      suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
    });
    await acknowledge(true);
    await refresh(definitions)(id, call);
    expect((await records().read(id)).flags?.flags).toEqual({ onboarded: true, suspended: true });
  });

  it("cannot revive a user who is deleted during the fetch", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    beforeAnswer = () => held;
    const slow = refresh()(id, call);
    await expect.poll(() => calls.length).toBe(2);
    await acknowledge(true);
    await refresh()(id, call);
    release();
    expect(await slow).toMatchObject({ outcome: "superseded" });
    expect((await records().read(id)).flags?.status).toBe("deleted");
  });

  it("leaves the user in the ledger if the record cannot be committed", async () => {
    await acknowledge();
    // A Redis that lost its last writes has not drawn the ticket.
    beforeAnswer = async () => void (await context.redis.set(context.keys.ticket.counter, 1));
    await expect(refresh()(id, call)).rejects.toMatchObject({ code: "redis_unavailable" });
    expect(await ledger().entry(id)).toBeDefined();
  });

  it("leaves record and ledger unchanged if it fails", async () => {
    await refresh()(id, call);
    await acknowledge();
    beforeAnswer = () => Promise.reject(new Error("down"));
    await expect(refresh()(id, call)).rejects.toThrow("down");
    expect((await records().read(id)).flags?.status).toBe("present");
    expect(await ledger().entry(id)).toBeDefined();
  });

  it("fetches a part once a flag function reads it", async () => {
    const owners = defineFlags({
      owner: (user: Profile) => user.organizations.some(({ roles }) => roles.some(({ key }) => key === "owner")),
    });
    const refreshOwner = refresh(owners);
    await refreshOwner(id, call);
    expect((await records().read(id)).flags?.flags).toEqual({ owner: true });
    calls = [];
    await refreshOwner(id, call);
    expect(calls.filter((route) => route.endsWith("/roles"))).toHaveLength(1);
    expect(calls).toHaveLength(3);
  });
});
