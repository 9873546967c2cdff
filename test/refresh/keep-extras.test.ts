import { defineFlags, fresh, permission, plan, property } from "kindling";
import { beforeEach, describe, expect, it } from "vitest";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import { createLedger, type Ledger } from "../../src/redis/ledger.ts";
import type { Concern } from "../../src/redis/ledger-scripts.ts";
import { createRecords, type Records } from "../../src/redis/records.ts";
import { createRefreshUser, type RefreshUser } from "../../src/refresh/refresh-user.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { useRedis } from "../support/redis.ts";
import { type RedisWorld, withRedisWorld } from "../support/redis-clock.ts";
import { testUser } from "../support/signer.ts";

const minute = 60_000;
const settleMs = minute / 2;
const confirmMs = 33_000;
const extrasMaxAgeMs = 100 * minute;
const context = useRedis();
const id = testUser(1);
const call = { priority: "webhook", signal: new AbortController().signal } as const;
const definitions = defineFlags({
  admin: permission("admin:access"),
  pro: plan("pro"),
  tier: property.string("plan_tier", { default: "none" }),
});

let world: RedisWorld;
/** The clock of the process. */
let clock = 0;
let kinde: {
  admin: boolean;
  tier: string;
  organizations: string[];
  signIns: number;
  customer: string | null;
  expiresOn: string | null;
};
let calls: string[] = [];
/** Runs before a call to this route is answered. */
let before: Record<string, (() => Promise<unknown>) | undefined>;
let ledger: Ledger;
let records: Records;
let refreshUser: RefreshUser;
let serial = 0;

const user = "GET /api/v1/user";
const properties = "GET /api/v1/users/{id}/properties";
const roles = "GET /api/v1/organizations/{code}/users/{id}/roles";
const permissions = "GET /api/v1/organizations/{code}/users/{id}/permissions";
const agreements = "GET /api/v1/billing/agreements";
const account = [user, properties];

const answers: Record<string, () => unknown> = {
  [user]: () => ({
    id,
    organizations: kinde.organizations,
    total_sign_ins: kinde.signIns,
    billing: { customer_id: kinde.customer },
  }),
  [properties]: () => ({ properties: [{ key: "plan_tier", value: kinde.tier }] }),
  [roles]: () => ({ roles: [] }),
  [permissions]: () => ({ permissions: kinde.admin ? [{ id: "1", key: "admin:access" }] : [] }),
  [agreements]: () => ({ agreements: [{ id: "a", plan_code: "pro", expires_on: kinde.expiresOn }] }),
};

const api: ManagementApi = {
  async get<T>({ route, answer }: Call<T>) {
    calls.push(route);
    const value = answers[route]?.();
    const wait = before[route];
    before[route] = undefined;
    await wait?.();
    return answer.parse(value);
  },
  send: () => Promise.reject(new Error("Unexpected write.")),
};

const open = (given: Parameters<typeof createRefreshUser>[0]["definitions"] = definitions) =>
  createRefreshUser({
    now: () => clock,
    organizations: { addTo: async (profile) => profile },
    api,
    ledger,
    records,
    definitions: given,
    keep: new Set(["account", "properties", "organizations", "roles", "permissions", "billing"]),
    extrasMaxAgeMs,
    absences: { clear: async () => {}, noteUnknown: async () => {} },
    judgeAbsence: async () => "unknown",
  });

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  world = { now: 1_800_000_000_000, runId: "first" };
  kinde = { admin: true, tier: "pro", organizations: ["org_1"], signIns: 1, customer: "customer_1", expiresOn: null };
  clock = world.now;
  before = {};
  const redis = withRedisWorld(context.redis, world);
  ledger = createLedger({ redis, keys: context.keys, name: "users", now: () => world.now, settleMs });
  records = createRecords({ redis, keys: context.keys, tombstoneTtlMs: minute });
  refreshUser = open();
  await refreshUser(id, call);
  world.now += minute;
  calls = [];
});

async function event(concern: Concern | "signIn") {
  serial += 1;
  await createAdmissions({
    replication: { confirm: async () => {} },
    redis: withRedisWorld(context.redis, world),
    keys: context.keys,
    queues: { enqueueRefreshes: async () => {}, enqueueFanouts: async () => {} },
    burst: { quietMs: 0, maxMs: 0 },
    onError: () => {},
  }).admit({
    id: `event_${serial}`,
    type: "user.updated",
    route: { to: "users", userIds: [id], concern },
  });
}

const owed = () => refreshUser(id, { ...call, owed: true });
const stored = () => records.read(id);
const admin = async () => (await stored()).flags?.flags.admin;

/** Signs the user in and returns the calls of the refresh. */
async function signIn(refresh = owed) {
  kinde.signIns += 1;
  await event("signIn");
  await refresh();
  return calls.splice(0);
}

describe("a refresh that only sign-ins caused", () => {
  it("takes two calls, and keeps roles, permissions and plans with their time", async () => {
    const first = (await stored()).flags;
    kinde.tier = "free";
    expect(await signIn()).toEqual(account);
    const { flags, profile } = await stored();
    expect(flags).toMatchObject({
      flags: { admin: true, pro: true, tier: "free" },
      fetchedAt: first?.fetchedAt,
      accountAt: world.now,
      keptTicket: first?.ticket,
    });
    expect(flags?.ticket).toBeGreaterThan(first?.ticket ?? 0);
    expect(profile?.totalSignIns).toBe(2);
    expect(await ledger.entry(id)).toBeUndefined();
    // Once more: the parts are still those of the first refresh.
    expect(await signIn()).toEqual(account);
    expect((await stored()).flags).toMatchObject({ fetchedAt: first?.fetchedAt, keptTicket: first?.ticket });
  });

  it.each<[string, () => unknown]>([
    ["another event joined", () => event("everything")],
    ["the parts are half as old as they may get", () => (world.now += extrasMaxAgeMs / 2)],
    ["the record was fetched ahead of the clock", () => (world.now -= 2 * minute)],
    ["the record lacks a part", () => rewrite("profile", { parts: 0 })],
    ["the record was filled from a list", () => rewrite("flags", { ticket: 1 })],
    ["the record is not readable", () => context.redis.set(context.keys.flags(id), "{")],
    ["an earlier refresh failed", () => ledger.fail(id, failure)],
    ["an earlier event is to be confirmed now", confirmDue],
  ])("fetches everything if %s", async (_reason, arrange) => {
    await arrange();
    calls = [];
    expect(await signIn()).toEqual(expect.arrayContaining([roles, permissions, agreements]));
    const { flags } = await stored();
    expect(flags).not.toHaveProperty("keptTicket");
    expect(flags?.fetchedAt).toBe(world.now);
  });

  it.each<[string, () => unknown, string[]]>([
    [
      "the user joined an organization",
      () => kinde.organizations.push("org_2"),
      [roles, permissions, roles, permissions],
    ],
    ["the user changed the organization", () => kinde.organizations.splice(0, 1, "org_2"), [roles, permissions]],
    ["the user left the organization", () => kinde.organizations.pop(), []],
    ["the user is another billing customer", () => (kinde.customer = "customer_2"), [agreements]],
  ])("fetches what is no longer that of the record if %s", async (_reason, arrange, changed) => {
    arrange();
    expect(await signIn()).toEqual([...account, ...changed]);
    expect((await stored()).profile?.organizations.map(({ code }) => code)).toEqual(kinde.organizations);
  });

  it("fetches everything for any other cause", async () => {
    expect(await signIn(() => refreshUser(id, call))).toContain(permissions);
  });

  it("fetches everything if a flag may not be as old as the parts", async () => {
    const limited = fresh(permission("admin:access"), { maxAge: 2 * minute, whenOlder: "serve" });
    refreshUser = open(defineFlags({ admin: limited }));
    expect(await signIn()).toContain(permissions);
  });

  it("skips users without an outstanding event", async () => {
    expect(await owed()).toMatchObject({ outcome: "reflected" });
    expect(calls).toEqual([]);
  });
});

describe("a refresh for events", () => {
  const grants = [...account, roles, permissions];
  const plans = [...account, agreements];
  const everything = [...account, agreements, roles, permissions];

  /** Returns the calls of a refresh, and those of the one that confirms it. */
  async function refreshAndConfirm() {
    await owed();
    const fetched = calls.splice(0);
    world.now += confirmMs;
    await refreshUser(id, { ...call, confirming: true });
    return [fetched, calls.splice(0)];
  }

  it.each<[(Concern | "signIn")[], string[]]>([
    [["account"], account],
    [["grants"], grants],
    [["plans"], plans],
    [["everything"], everything],
    [["signIn", "plans"], plans],
    [["grants", "signIn", "account"], grants],
    [["account", "plans"], plans],
    [["plans", "grants"], everything],
    [["everything", "account"], everything],
  ])("fetches and confirms what they concern: %j", async (concerns, wanted) => {
    for (const concern of concerns) await event(concern);
    expect(await refreshAndConfirm()).toEqual([wanted, wanted]);
  });

  it("keeps what they do not concern with its time, and takes the rest from Kinde", async () => {
    const first = (await stored()).flags;
    kinde.admin = false;
    await event("grants");
    await owed();
    expect((await stored()).flags).toMatchObject({
      flags: { admin: false, pro: true },
      fetchedAt: first?.fetchedAt,
      accountAt: world.now,
      keptTicket: first?.ticket,
    });
  });

  it("confirms what several refreshes fetched, together", async () => {
    await event("plans");
    await owed();
    await event("grants");
    calls = [];
    expect(await refreshAndConfirm()).toEqual([grants, everything]);
  });

  it("fetches what a due confirmation concerns, too", async () => {
    await event("plans");
    await owed();
    world.now += confirmMs;
    await event("account");
    calls = [];
    await owed();
    expect(calls).toEqual(plans);
  });

  it("fetches everything if a process that knows no concerns acknowledged one of them", async () => {
    await event("account");
    const latest = context.keys.ledgerPart("latest");
    await context.redis.hset(latest, id, `${await context.redis.hget(latest, id)}:2:0`);
    expect((await refreshAndConfirm())[0]).toEqual(everything);
  });

  it("confirms everything if a process that knows no concerns noted the confirmation", async () => {
    await event("account");
    await owed();
    await context.redis.hset(context.keys.ledgerPart("confirm:later"), `ticket:${id}`, (await ledger.begin(id)).ticket);
    calls = [];
    world.now += confirmMs;
    await refreshUser(id, { ...call, confirming: true });
    expect(calls).toEqual(everything);
  });

  it("leaves nothing behind once they are confirmed", async () => {
    await event("grants");
    await refreshAndConfirm();
    const left = ["concerns", "confirm:later"].map((part) => context.redis.hlen(context.keys.ledgerPart(part)));
    expect(await Promise.all(left)).toEqual([0, 0]);
  });
});

it.each([
  ["Redis", () => (world.now -= 10 * minute)],
  ["the process", () => (clock -= 10 * minute)],
])("a plan that was just cancelled has ended although the clock of %s is behind", async (_whose, stepBack) => {
  kinde.expiresOn = new Date(world.now - 1).toISOString();
  clock = world.now;
  stepBack();
  await refreshUser(id, call);
  expect((await stored()).flags?.flags).toMatchObject({ pro: false });
});

describe("a refresh after a write", () => {
  it("takes two calls, and so does its confirmation", async () => {
    const intent = await ledger.intend(id);
    if (intent === undefined) throw new Error("Another write holds the user.");
    await ledger.noteWrite(id, intent, { plan_tier: "free" }, settleMs);
    await refreshUser(id, { ...call, keep: true });
    expect(calls.splice(0)).toEqual(account);
    expect((await stored()).flags?.flags).toMatchObject({ tier: "free", admin: true, pro: true });
    world.now += confirmMs;
    await refreshUser(id, { ...call, confirming: true });
    expect(calls).toEqual(account);
    expect((await stored()).flags?.flags).toMatchObject({ tier: "pro" });
  });

  it("fetches what an outstanding event concerns, too", async () => {
    await event("plans");
    await ledger.intend(id);
    await refreshUser(id, { ...call, keep: true });
    expect(calls).toEqual([...account, agreements]);
  });

  it("forgets a write that was withdrawn", async () => {
    const intent = await ledger.intend(id);
    if (intent !== undefined) await ledger.withdraw(id, intent);
    expect(await context.redis.hlen(context.keys.ledgerPart("concerns"))).toBe(0);
  });
});

describe("an event that crosses a sign-in", () => {
  it("is fetched whole after it, if it arrives during its fetch", async () => {
    before[user] = async () => {
      kinde.admin = false;
      await event("everything");
    };
    await signIn();
    expect(await admin()).toBe(true);
    await owed();
    expect(await admin()).toBe(false);
    expect(await ledger.entry(id)).toBeUndefined();
  });
});

describe("a whole refresh that crosses one that keeps parts", () => {
  /** Begins a whole refresh that has all answers but the last. */
  async function beginWhole() {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    before[agreements] = () => held;
    const whole = refreshUser(id, call);
    await expect.poll(() => calls.length).toBe(5);
    calls = [];
    const end = () => {
      release();
      return whole;
    };
    return end;
  }

  it("wins although it began earlier, if it commits in between", async () => {
    kinde.admin = false;
    const end = await beginWhole();
    before[user] = end;
    expect(await signIn()).toContain(permissions);
    expect(await admin()).toBe(false);
  });

  it("is repeated if it began earlier and commits later", async () => {
    kinde.admin = false;
    const end = await beginWhole();
    await signIn();
    expect(await admin()).toBe(true);
    expect(await end()).toMatchObject({ outcome: "committed" });
    expect(await admin()).toBe(false);
  });

  describe("again and again", () => {
    let crossings: number;

    /** Signs the user in during each fetch of the next whole refresh. */
    function signInDuringFetches() {
      before[agreements] = async () => {
        await signIn();
        crossings += 1;
        if (crossings < 5) signInDuringFetches();
      };
    }

    beforeEach(() => {
      crossings = 0;
      kinde.admin = false;
      signInDuringFetches();
    });

    it("is repeated once: refreshes that begin later fetch everything, too", async () => {
      expect(await refreshUser(id, call)).toMatchObject({ outcome: "superseded" });
      expect(crossings).toBe(2);
      expect(await admin()).toBe(false);
      expect((await stored()).flags).not.toHaveProperty("keptTicket");
    });

    it("lets later refreshes keep parts again once it has ended", async () => {
      await refreshUser(id, call);
      before = {};
      expect(await signIn()).toEqual(account);
      expect(await context.redis.hlen(context.keys.ledgerPart("concerns"))).toBe(0);
    });

    it("leaves the rest to the next refresh if its process dies", async () => {
      before[agreements] = async () => {
        await signIn();
        before[agreements] = () => Promise.reject(new Error("The process died."));
      };
      await expect(refreshUser(id, call)).rejects.toThrow("died");
      expect(await signIn()).toContain(permissions);
      expect(await admin()).toBe(false);
      expect(await signIn()).toEqual(account);
    });
  });

  it("is repeated although Redis lost the draw of the later ticket", async () => {
    const end = await beginWhole();
    await signIn();
    await context.redis.set(context.keys.ticket.counter, String(((await stored()).flags?.ticket ?? 0) - 1));
    await expect(end()).rejects.toMatchObject({ code: "redis_unavailable" });
    expect(await refreshUser(id, call)).toMatchObject({ outcome: "committed" });
  });
});

const failure = { code: "kinde_unavailable", message: "", failedAt: 0, attempts: 20, final: false };

async function confirmDue() {
  await event("everything");
  await owed();
  world.now += confirmMs;
}

/** Overwrites members of a stored JSON value. */
async function rewrite(which: "flags" | "profile", members: object) {
  const key = context.keys[which](id);
  await context.redis.set(key, JSON.stringify({ ...JSON.parse((await context.redis.get(key)) ?? "{}"), ...members }));
}
