import { defineFlags, permission, property } from "kindling";
import { beforeEach, describe, expect, it } from "vitest";
import { KindeError } from "../../src/errors.ts";
import type { Call, Change, ManagementApi } from "../../src/kinde/management-api.ts";
import { createLedger, type Ledger } from "../../src/redis/ledger.ts";
import { createRecords, type Records } from "../../src/redis/records.ts";
import { createAcknowledgeUsers } from "../../src/refresh/acknowledge-users.ts";
import { createRefreshUser, type RefreshUser } from "../../src/refresh/refresh-user.ts";
import { createSetProperties, type SetProperties } from "../../src/refresh/set-properties.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import type { Route } from "../../src/webhook/route-event.ts";
import { useRedis } from "../support/redis.ts";
import { type RedisWorld, withRedisWorld } from "../support/redis-clock.ts";
import { testUser } from "../support/signer.ts";

const second = 1_000;
const settleMs = 30 * second;
/** A confirming refresh waits a tenth longer. */
const confirmMs = 33 * second;
const context = useRedis();
const id = testUser(1);
const call = { priority: "webhook", signal: new AbortController().signal } as const;
const definitions = defineFlags({
  admin: permission("admin:access"),
  tier: property.string("plan_tier", { default: "none" }),
  region: property.string("region", { default: "none" }),
});

/** A user as Kinde has it, or as a copy of Kinde's that lags still shows it. */
interface State {
  admin: boolean;
  properties: Record<string, string | null>;
}

let world: RedisWorld;
let kinde: State;
/** What Kinde's copy answers; absent: the truth. */
let copy: State | undefined;
let fetches: number;
let patch: () => Promise<void>;
let ledger: Ledger;
let records: Records;
let refreshUser: RefreshUser;
let setProperties: SetProperties;
let reprocessed: string[];
let serial = 0;

const answers: Record<string, (state: State) => unknown> = {
  "GET /api/v1/user": () => ({ id, is_suspended: false, organizations: ["org_1"] }),
  "GET /api/v1/users/{id}/properties": ({ properties }) => ({
    properties: Object.entries(properties).map(([key, value]) => ({ key, value })),
  }),
  "GET /api/v1/organizations/{code}/users/{id}/roles": () => ({ roles: [] }),
  "GET /api/v1/organizations/{code}/users/{id}/permissions": ({ admin }) => ({
    permissions: admin ? [{ id: "1", key: "admin:access" }] : [],
  }),
};

const api: ManagementApi = {
  async get<T>({ route, answer }: Call<T>) {
    if (route === "GET /api/v1/user") fetches += 1;
    return answer.parse(answers[route]?.(copy ?? kinde));
  },
  async send<T>({ body, answer }: Change<T>) {
    await patch();
    Object.assign(kinde.properties, (body as { properties: object }).properties);
    return answer.parse({ code: "OK", message: "Properties updated." });
  },
};

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  world = { now: 1_800_000_000_000, runId: "first" };
  kinde = { admin: true, properties: { plan_tier: "pro", region: "eu" } };
  copy = undefined;
  fetches = 0;
  patch = async () => {};
  reprocessed = [];
  const redis = withRedisWorld(context.redis, world);
  ledger = createLedger({ redis, keys: context.keys, name: "users", now: () => world.now, settleMs });
  records = createRecords({ redis, keys: context.keys, tombstoneTtlMs: 60 * second });
  const queues = {
    enqueueReprocess: async (userIds: readonly string[]) => {
      reprocessed.push(...userIds);
    },
  };
  const keep = new Set(["account", "properties", "organizations", "roles", "permissions"] as const);
  refreshUser = createRefreshUser({
    now: () => world.now,
    organizations: { addTo: async (profile) => profile },
    api,
    ledger,
    records,
    definitions,
    keep,
    extrasMaxAgeMs: 0,
    absences: { clear: async () => {}, noteUnknown: async () => {} },
    judgeAbsence: async () => "unknown",
  });
  const replication = { confirm: async () => {} };
  setProperties = createSetProperties({
    api,
    ledger,
    records,
    queues,
    refreshUser,
    replication,
    definitions,
    settleMs,
  });
});

const flags = async () => (await records.read(id)).flags?.flags;

const signIn: Route = { to: "users", userIds: [id], concern: "signIn" };

async function acknowledge(route: Route = { to: "users", userIds: [id], concern: "grants" }) {
  serial += 1;
  return createAdmissions({
    replication: { confirm: async () => {} },
    redis: withRedisWorld(context.redis, world),
    keys: context.keys,
    queues: { enqueueRefreshes: async () => {}, enqueueFanouts: async () => {} },
    burst: { quietMs: 0, maxMs: 0 },
    onError: () => {},
  }).admit({
    id: `event_${serial}`,
    type: "user.updated",
    route,
  });
}

/** An event and its refresh. */
async function event(route: Route = { to: "users", userIds: [id], concern: "grants" }) {
  await acknowledge(route);
  await refreshUser(id, call);
}

const take = () => ledger.takeUnconfirmed({ limit: 10, forMs: 60 * second });

/** Moves the clock and confirms the users who become due, as the worker does. */
async function pass(ms: number) {
  const end = world.now + ms;
  for (;;) {
    const { members, nextInMs } = await take();
    for (const member of members) await refreshUser(member, { ...call, confirming: true });
    await ledger.giveBack(members);
    if (members.length > 0) continue;
    if (nextInMs === undefined || world.now + nextInMs > end) break;
    world.now += nextInMs;
  }
  world.now = end;
}

/** Milliseconds until the user's confirming refresh is due. */
async function confirmInMs() {
  const due = await context.redis.zscore(context.keys.ledgerPart("confirm"), id);
  return due === null ? undefined : Math.ceil(Number(due) / 1000 - world.now);
}

describe("after an event, a user", () => {
  it("is refreshed again, because Kinde can have answered from a copy that lags", async () => {
    copy = structuredClone(kinde);
    kinde.admin = false;
    await event();
    expect(await flags()).toMatchObject({ admin: true });
    copy = undefined;
    await pass(confirmMs);
    expect(await flags()).toMatchObject({ admin: false });
    expect(await confirmInMs()).toBeUndefined();
  });

  it("is refreshed once per settle time, however many events follow", async () => {
    for (let n = 0; n < 20; n += 1) {
      await event();
      await pass(second);
    }
    const before = fetches;
    await pass(10 * settleMs);
    // Once after the first event, once after the last.
    expect(fetches - before).toBe(2);
    expect(await confirmInMs()).toBeUndefined();
  });

  it("is refreshed once more after a burst", async () => {
    await event();
    await pass(second);
    await event();
    const before = fetches;
    await pass(10 * settleMs);
    expect(fetches - before).toBe(1);
  });

  it("is refreshed on time although later events follow without end", async () => {
    copy = structuredClone(kinde);
    kinde.admin = false;
    await event();
    copy = undefined;
    const later: (boolean | undefined)[] = [];
    for (let passed = 0; passed <= confirmMs; passed += 5 * second) {
      // These refreshes fail, so that only the confirming one can repair the record.
      await acknowledge();
      later.push((await flags())?.admin as boolean);
      await pass(5 * second);
    }
    expect(new Set(later)).toEqual(new Set([true]));
    expect(await flags()).toMatchObject({ admin: false });
  });

  it("needs no confirmation if the event had waited longer than the settle time", async () => {
    await acknowledge();
    await pass(settleMs + second);
    await refreshUser(id, call);
    expect(await confirmInMs()).toBeUndefined();
  });

  it("needs confirmation all the same if a write of unknown outcome joined that event", async () => {
    await acknowledge();
    await pass(settleMs + second);
    await ledger.intend(id);
    await refreshUser(id, call);
    expect(await confirmInMs()).toBe(confirmMs);
    // And the next event is alone again.
    await pass(2 * confirmMs);
    await acknowledge();
    await pass(settleMs + second);
    await refreshUser(id, call);
    expect(await confirmInMs()).toBeUndefined();
  });

  it("needs no confirmation after sign-ins alone, but after a change that joins them", async () => {
    await event(signIn);
    expect(await confirmInMs()).toBeUndefined();
    await acknowledge(signIn);
    await event();
    expect(await confirmInMs()).toBe(confirmMs);
  });

  it("needs no confirmation after a deletion, which Kinde is not asked about", async () => {
    await event({ to: "deleted", userId: id });
    expect(await confirmInMs()).toBeUndefined();
  });

  it("is confirmed by any refresh that begins late enough", async () => {
    await event();
    world.now += confirmMs;
    await refreshUser(id, call);
    expect(await confirmInMs()).toBeUndefined();
  });

  it("is confirmed although the process died right after the commit", async () => {
    await acknowledge();
    const { settle } = ledger;
    ledger.settle = async () => {
      throw new Error("killed");
    };
    await expect(refreshUser(id, call)).rejects.toThrow("killed");
    ledger.settle = settle;
    // The ledger still owes the refresh, so that nothing is lost.
    expect(await ledger.entry(id)).toBeDefined();
    await refreshUser(id, call);
    expect(await confirmInMs()).toBe(confirmMs);
  });

  it("stays noted until the confirming refresh has committed, whatever happens to its job", async () => {
    await event();
    expect((await take()).members).toEqual([]);
    world.now += confirmMs;
    expect((await take()).members).toEqual([id]);
    // Nothing comes of it.
    expect((await take()).members).toEqual([]);
    world.now += 61 * second;
    expect((await take()).members).toEqual([id]);
    await refreshUser(id, { ...call, confirming: true });
    world.now += 61 * second;
    expect(await take()).toEqual({ members: [], nextInMs: undefined });
  });

  it("is taken by nobody else meanwhile, although Redis' clock stepped back, and not at all once its job gave up", async () => {
    await event();
    world.now += confirmMs;
    expect((await take()).members).toEqual([id]);
    world.now -= 5 * 3_600_000;
    await context.redis.zadd(context.keys.ledgerPart("confirm"), 1, id);
    expect((await take()).members).toEqual([id]);
    expect((await take()).members).toEqual([]);
    await ledger.giveBack([id]);
    await ledger.fail(id, { code: "kinde_unavailable", message: "", failedAt: 0, attempts: 20, final: false });
    expect((await take()).members).toEqual([]);
  });

  it("is not fetched if another refresh has confirmed it", async () => {
    await event();
    world.now += confirmMs;
    await take();
    await refreshUser(id, call);
    const before = fetches;
    expect(await refreshUser(id, { ...call, confirming: true })).toMatchObject({ outcome: "reflected" });
    expect(fetches).toBe(before);
  });

  it("is confirmed within two settle times although Redis' clock stepped back by hours", async () => {
    world.now += 5 * 3_600_000;
    await event();
    world.now -= 5 * 3_600_000;
    await take();
    expect(await confirmInMs()).toBe(confirmMs);
  });

  it("is confirmed if a fan-out found it, but only if it was fetched within the settle time", async () => {
    const queues = { enqueueBulk: async () => {} };
    const redis = withRedisWorld(context.redis, world);
    const found = createAcknowledgeUsers({ redis, keys: context.keys, queues });
    await found([id], { concern: "grants", since: world.now * 1000 });
    await refreshUser(id, call);
    expect(await confirmInMs()).toBe(confirmMs);
    await pass(2 * settleMs);
    await found([id], { concern: "grants", since: (world.now - 2 * settleMs) * 1000 });
    await refreshUser(id, call);
    expect(await confirmInMs()).toBeUndefined();
  });
});

describe("a written property", () => {
  it("yields to a change elsewhere although another property is written every 700 ms", async () => {
    await setProperties(id, { plan_tier: "enterprise" }, call);
    kinde.properties.plan_tier = "free";
    const seen: [atMs: number, tier: unknown][] = [];
    for (let passed = 0; passed < 2 * settleMs; passed += 700) {
      await pass(700);
      await setProperties(id, { region: `r${passed}` }, call);
      seen.push([passed + 700, (await flags())?.tier]);
    }
    const readable = seen.find(([, tier]) => tier === "free")?.[0];
    expect(readable).toBeGreaterThan(settleMs - second);
    expect(readable).toBeLessThanOrEqual(confirmMs + second);
    // And the last value of the other one stays.
    expect(await flags()).toMatchObject({ region: kinde.properties.region });
  });

  it("overrides a copy of Kinde's that lags, for the settle time", async () => {
    copy = structuredClone(kinde);
    await setProperties(id, { plan_tier: "enterprise" }, call);
    await pass(settleMs - second);
    await refreshUser(id, call);
    expect(await flags()).toMatchObject({ tier: "enterprise" });
    await pass(confirmMs);
    expect(await flags()).toMatchObject({ tier: "pro" });
  });

  it("is refreshed once after the settle time", async () => {
    await setProperties(id, { plan_tier: "enterprise" }, call);
    const before = fetches;
    await pass(10 * settleMs);
    expect(fetches - before).toBe(1);
  });

  it.each([5, 20, 60, 5 * 3_600])(
    "is compared with Kinde once it has expired, although Redis' clock stepped back by %i s",
    async (step) => {
      await setProperties(id, { plan_tier: "enterprise" }, call);
      kinde.properties.plan_tier = "free";
      world.now -= step * second;
      await pass(2.5 * confirmMs);
      expect(await flags()).toMatchObject({ tier: "free" });
    },
  );

  it("expires in time although Redis' clock stepped back by hours", async () => {
    world.now += 5 * 3_600_000;
    await setProperties(id, { plan_tier: "enterprise" }, call);
    world.now -= 5 * 3_600_000;
    kinde.properties.plan_tier = "free";
    await refreshUser(id, call);
    expect(await flags()).toMatchObject({ tier: "enterprise" });
    world.now += settleMs;
    await refreshUser(id, call);
    expect(await flags()).toMatchObject({ tier: "free" });
  });

  it("of an older release overrides Kinde's answer until its key expires", async () => {
    const key = context.keys.ledgerPart(`written:${id}`);
    await context.redis.set(key, JSON.stringify({ plan_tier: '"enterprise"' }), "PX", 60_000);
    await refreshUser(id, call);
    expect(await flags()).toMatchObject({ tier: "enterprise" });
    await context.redis.del(key);
    await refreshUser(id, call);
    expect(await flags()).toMatchObject({ tier: "pro" });
  });

  it("can be read by an older release during an upgrade", async () => {
    await setProperties(id, { plan_tier: "enterprise" }, call);
    const text = await context.redis.get(context.keys.ledgerPart(`written:${id}`));
    expect(JSON.parse(String(text))).toEqual({ plan_tier: '"enterprise"' });
  });
});

describe("two writes of a property at once", () => {
  it("are made one after the other, so that readers end up with the value that Kinde has", async () => {
    let applyFirst = () => {};
    const held = new Promise<void>((resolve) => {
      applyFirst = resolve;
    });
    const sent = new Promise<void>((resolve) => {
      patch = () => {
        resolve();
        patch = async () => {};
        return held;
      };
    });
    const first = setProperties(id, { plan_tier: "pro" }, call);
    await sent;
    const { intend } = ledger;
    let attempts = 0;
    ledger.intend = async (member) => {
      attempts += 1;
      if (attempts === 2) applyFirst();
      return intend(member);
    };
    const second = setProperties(id, { plan_tier: "enterprise" }, call);
    // Were they made at once, Kinde would apply the first one last.
    await Promise.race([held, second]);
    applyFirst();
    await Promise.all([first, second]);
    expect(kinde.properties.plan_tier).toBe("enterprise");
    expect(await flags()).toMatchObject({ tier: "enterprise" });
  });

  it("do not wait for each other without end", async () => {
    const other = await ledger.intend(id);
    await expect(setProperties(id, { plan_tier: "pro" }, { ...call, patienceMs: 1 })).rejects.toMatchObject({
      code: "throttled",
      message: expect.stringContaining("Another write of this user is in progress."),
    });
    const signal = AbortSignal.abort(new Error("shutting down"));
    await expect(setProperties(id, { plan_tier: "pro" }, { ...call, signal })).rejects.toMatchObject({
      name: "AbortError",
    });
    if (other) await ledger.release(id, other);
    await setProperties(id, { plan_tier: "enterprise" }, call);
  });

  it("keep the later one's value if the process of the earlier one was suspended", async () => {
    const earlier = await ledger.intend(id);
    if (!earlier) throw new Error("Another intent is outstanding.");
    // As if its time were over.
    await ledger.release(id, earlier);
    await setProperties(id, { plan_tier: "enterprise" }, call);
    await ledger.noteWrite(id, earlier, { plan_tier: "free", region: "us" }, settleMs);
    await refreshUser(id, call);
    expect(await flags()).toMatchObject({ tier: "enterprise", region: "us" });
  });
});

describe("a process that dies while it sets properties", () => {
  it("leaves the user in the ledger before it calls Kinde", async () => {
    let held: unknown;
    patch = async () => {
      held = await ledger.entry(id);
    };
    await setProperties(id, { plan_tier: "enterprise" }, call);
    expect(held).toBeDefined();
    expect(await ledger.entry(id)).toBeUndefined();
  });

  it("leaves the user in the ledger until the values are readable", async () => {
    ledger.noteWrite = async () => {
      throw new Error("killed");
    };
    await expect(setProperties(id, { plan_tier: "enterprise" }, call)).rejects.toMatchObject({
      code: "write_not_visible",
    });
    expect(await ledger.entry(id)).toBeDefined();
  });

  it("leaves the user in the ledger if nobody knows whether Kinde accepted the values", async () => {
    patch = () => Promise.reject(new KindeError("kinde_unavailable", "No answer."));
    await expect(setProperties(id, { plan_tier: "enterprise" }, call)).rejects.toThrow("No answer.");
    expect(await ledger.entry(id)).toBeDefined();
    expect(reprocessed).toEqual([id]);
  });

  it("keeps what joined a write that Kinde then rejected: an event, or a write that died", async () => {
    patch = async () => {
      await acknowledge();
      throw new KindeError("kinde_rejected", "No.", { status: 400 });
    };
    await expect(setProperties(id, { plan_tier: "enterprise" }, call)).rejects.toThrow("No.");
    expect(await ledger.entry(id)).toBeDefined();
    await ledger.discard(id);
    const died = await ledger.intend(id);
    if (died) await ledger.release(id, died);
    patch = () => Promise.reject(new KindeError("kinde_rejected", "No.", { status: 400 }));
    await expect(setProperties(id, { plan_tier: "enterprise" }, call)).rejects.toThrow("No.");
    expect(await ledger.entry(id)).toBeDefined();
  });

  it("leaves nothing behind if Kinde rejected the values, and keeps what was outstanding before", async () => {
    patch = () => Promise.reject(new KindeError("kinde_rejected", "No.", { status: 400 }));
    await expect(setProperties(id, { plan_tier: "enterprise" }, call)).rejects.toThrow("No.");
    expect(await ledger.entry(id)).toBeUndefined();
    await acknowledge();
    await expect(setProperties(id, { plan_tier: "enterprise" }, call)).rejects.toThrow("No.");
    expect(await ledger.entry(id)).toBeDefined();
    expect(fetches).toBe(0);
  });
});
