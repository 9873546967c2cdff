import { beforeEach, describe, expect, it } from "vitest";
import { createLedger, type Ledger, type LedgerPlace } from "../../src/redis/ledger.ts";
import { createAcknowledgeUsers } from "../../src/refresh/acknowledge-users.ts";
import { createAdmissions, type RoutedEvent } from "../../src/webhook/admit.ts";
import type { Route } from "../../src/webhook/route-event.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";

const context = useRedis();
let ledger: Ledger;
let fanouts: Ledger;
let enqueued: { userId: string; delayMs: number }[];
let fannedOut: string[];
let failing: Error | undefined;
let serial = 0;

beforeEach(async () => {
  const leftovers = await context.redis.keys(`*${context.keys.prefix}*`);
  if (leftovers.length > 0) await context.redis.del(leftovers);
  ledger = createLedger({ redis: context.redis, keys: context.keys, name: "users", now: Date.now });
  fanouts = createLedger({ redis: context.redis, keys: context.keys, name: "fanouts", now: Date.now });
  enqueued = [];
  fannedOut = [];
  failing = undefined;
});

const admissions = () =>
  createAdmissions({
    replication: { confirm: async () => {} },
    ...context,
    queues: {
      async enqueueRefreshes(refreshes) {
        if (failing !== undefined) throw failing;
        enqueued.push(...refreshes);
      },
      async enqueueFanouts(subjects) {
        if (failing !== undefined) throw failing;
        fannedOut.push(...subjects);
      },
    },
    burst: { quietMs: 250, maxMs: 2_000 },
    onError: (error) => {
      throw error;
    },
  });

function routed(userId: string, rest: Partial<RoutedEvent> & { deleted?: boolean } = {}): RoutedEvent {
  serial += 1;
  const { deleted = false, ...fields } = rest;
  const route: Route = deleted ? { to: "deleted", userId } : { to: "users", userIds: [userId], concern: "grants" };
  return { id: `event_${serial}`, type: "user.updated", route, ...fields };
}

describe("tickets", () => {
  it("increase with every draw, from any process", async () => {
    const tickets: number[] = [];
    for (let n = 0; n < 50; n += 1) tickets.push((await ledger.begin(testUser(n))).ticket);
    expect(tickets).toEqual([...new Set(tickets)].sort((a, b) => a - b));
  });

  it("are microseconds since the epoch, so they increase even if the counter is lost", async () => {
    const before = (await ledger.begin("x")).ticket;
    expect(Math.abs(before / 1000 - Date.now())).toBeLessThan(5_000);
    await context.redis.del(context.keys.ledgerPart("ticket"));
    expect((await ledger.begin("x")).ticket).toBeGreaterThan(before);
  });

  it("continue from a counter that is ahead of the clock", async () => {
    const ahead = 9_000_000_000_000_000;
    await context.redis.set(context.keys.ledgerPart("ticket"), String(ahead));
    expect((await ledger.begin("x")).ticket).toBe(ahead + 1);
  });
});

describe("ledger", () => {
  it("holds a user from the acknowledgement to the commit", async () => {
    const id = testUser(1);
    expect(await admissions().admit(routed(id))).toBe("accepted");
    expect(await context.redis.zrange(context.keys.ledger, 0, -1)).toEqual([id]);
    expect(enqueued).toEqual([{ userId: id, owed: true, delayMs: 0 }]);
    const { ticket } = await ledger.begin(id);
    expect(await ledger.settle(id, ticket)).toMatchObject({ pending: false });
    expect(await ledger.size()).toEqual({ size: 0, oldestAgeMs: 0, failed: 0 });
    expect(await ledger.entry(id)).toBeUndefined();
  });

  it("keeps a user whose event was acknowledged after the ticket was drawn", async () => {
    const id = testUser(2);
    await admissions().admit(routed(id));
    const begun = await ledger.begin(id);
    await admissions().admit(routed(id));
    expect(await ledger.settle(id, begun.ticket, begun)).toMatchObject({ pending: true });
    expect((await ledger.entry(id))?.since).toBe(begun.at);
    const later = await ledger.begin(id);
    expect(await ledger.settle(id, later.ticket)).toMatchObject({ pending: false });
    expect((await ledger.size()).size).toBe(0);
  });

  it("remembers a deletion through later events and for a while after it is settled", async () => {
    const id = testUser(3);
    await admissions().admit(routed(id, { deleted: true }));
    await admissions().admit(routed(id));
    const { ticket, deleted } = await ledger.begin(id);
    expect(deleted).toBe(true);
    await ledger.settle(id, ticket);
    // A fan-out must not ask a lagging replica of Kinde's about the user now.
    expect((await ledger.begin(id)).deleted).toBe(true);
    expect((await ledger.begin("another")).deleted).toBe(false);
  });

  it("keeps a failure until the user is refreshed or discarded", async () => {
    const failure = { code: "kinde_forbidden", message: "no", failedAt: 1, attempts: 3, final: true };
    await ledger.fail(testUser(4), failure);
    await ledger.fail(testUser(5), failure);
    expect((await ledger.failures()).map(({ member }) => member).sort()).toEqual([testUser(4), testUser(5)]);
    expect(await ledger.size()).toMatchObject({ size: 2, failed: 2 });
    await ledger.settle(testUser(4), (await ledger.begin(testUser(4))).ticket);
    expect(await ledger.discard(testUser(5))).toBe(true);
    expect(await ledger.discard(testUser(5))).toBe(false);
    expect(await ledger.size()).toMatchObject({ size: 0, failed: 0 });
  });

  it("reads failures of earlier releases and keeps unreadable ones visible", async () => {
    const failure = { code: "kinde_forbidden", message: "no", failedAt: 1, attempts: 3, final: true };
    const key = context.keys.ledgerPart("failures");
    await context.redis.hset(key, "old", JSON.stringify(failure), "broken", "{");
    expect(await ledger.failures()).toEqual([
      { member: "old", failure },
      { member: "broken", failure: expect.objectContaining({ code: "unexpected", final: false }) },
    ]);
  });

  it("pages through its members, oldest first", async () => {
    const ids = Array.from({ length: 5 }, (_, n) => testUser(20 + n));
    for (const id of ids) await admissions().admit(routed(id));
    const page = await ledger.page({ olderThanMs: -1000, limit: 3 });
    expect(page.entries.map(({ member }) => member)).toEqual(ids.slice(0, 3));
    const rest = await ledger.page({ ...(page.next && { from: page.next }), olderThanMs: -1000, limit: 3 });
    expect(rest.entries.map(({ member }) => member)).toEqual(ids.slice(3));
    expect(rest.next).toBeUndefined();
    expect((await ledger.page({ olderThanMs: 60_000, limit: 3 })).entries).toEqual([]);
  });

  it("pages through users that share a position, as in a fan-out", async () => {
    const ids = Array.from({ length: 8 }, (_, n) => testUser(30 + n));
    const acknowledge = createAcknowledgeUsers({ ...context, queues: { enqueueBulk: async () => undefined } });
    await admissions().admit(routed(testUser(29)));
    await acknowledge(ids, { concern: "grants", since: (await ledger.begin("x")).at });
    await admissions().admit(routed(testUser(39)));
    const found: string[] = [];
    let from: LedgerPlace | undefined;
    do {
      const { entries, next } = await ledger.page({ ...(from && { from }), olderThanMs: -1000, limit: 3 });
      found.push(...entries.map(({ member }) => member));
      from = next;
    } while (from !== undefined);
    expect(found).toEqual([testUser(29), ...ids, testUser(39)]);
  });
});

describe("admission", () => {
  it("accepts an event once, whether its duplicate is in the same batch or a later one", async () => {
    const event = routed(testUser(1));
    const entry = admissions();
    const other = routed(testUser(9));
    // The first event is sent at once. The other two share the next batch.
    const outcomes = await Promise.all([other, event, event].map((each) => entry.admit(each)));
    expect(outcomes).toEqual(["accepted", "accepted", "duplicate"]);
    expect(await entry.admit(event)).toBe("duplicate");
    expect(enqueued.map(({ userId }) => userId)).toEqual([testUser(9), testUser(1)]);
  });

  it("does not remember an event whose work could not be queued", async () => {
    const event = routed(testUser(2));
    const entry = admissions();
    failing = new Error("OOM");
    await expect(entry.admit(event)).rejects.toThrow("OOM");
    failing = undefined;
    expect(await entry.admit(event)).toBe("accepted");
    expect(enqueued).toHaveLength(1);
  });

  it("remembers the latest event ids in a table of fixed size", async () => {
    const entry = admissions();
    const key = context.keys.ledgerPart("seen");
    const events = Array.from({ length: 100_000 }, (_, n) => ({
      id: `event_table_${n}`,
      type: "user.authenticated",
      route: { to: "none", reason: "ignored" } as const,
    }));
    const first = events.slice(0, 50);
    const admitAll = (some: typeof events) => Promise.all(some.map((event) => entry.admit(event)));
    await admitAll(events);
    await until(async () => expect(new Set(await admitAll(first))).toEqual(new Set(["duplicate"])));
    const tableBytes = 4 * 1024 * 1024;
    expect(await context.redis.strlen(key)).toBeLessThanOrEqual(tableBytes);
    // Fills every bucket with ids that nobody will repeat: the earlier ones make room.
    await context.redis.set(key, Buffer.alloc(tableBytes, 7));
    expect(new Set(await admitAll(first))).toEqual(new Set(["ignored"]));
    await until(async () => expect(new Set(await admitAll(first))).toEqual(new Set(["duplicate"])));
    expect(await context.redis.strlen(key)).toBe(tableBytes);
  }, 60_000);

  it("refreshes the first event of a burst at once and delays the rest, within bounds", async () => {
    const entry = admissions();
    const id = testUser(4);
    await entry.admit(routed(id));
    await entry.admit(routed(id));
    expect(enqueued.map(({ delayMs }) => delayMs)).toEqual([0, 250]);
    // Outstanding for two seconds already, so no further delay.
    const since = (await ledger.begin(id)).at - 2_000_000;
    await context.redis.zadd(context.keys.ledger, since, id);
    await entry.admit(routed(id));
    await entry.admit(routed(id, { deleted: true }));
    expect(enqueued.slice(2).map(({ delayMs }) => delayMs)).toEqual([0, 0]);
  });

  it("routes events that concern many users to a fan-out with its own ledger", async () => {
    const event = routed("", { type: "role.updated", route: { to: "fanout", subject: "role:1" } });
    expect(await admissions().admit(event)).toBe("accepted");
    expect(fannedOut).toEqual(["role:1"]);
    expect((await fanouts.size()).size).toBe(1);
    expect((await ledger.size()).size).toBe(0);
  });

  it("adds every user that one event names, once, and refreshes them all", async () => {
    const [first, second, third] = [testUser(61), testUser(62), testUser(63)];
    const event = { id: "event_many", type: "customer.plan_changed" };
    const entry = admissions();
    const many = { ...event, route: { to: "users", userIds: [first, second], concern: "plans" } } as const;
    const outcomes = await Promise.all([routed(third), many, many, routed(first)].map((each) => entry.admit(each)));
    expect(outcomes).toEqual(["accepted", "accepted", "duplicate", "accepted"]);
    expect(enqueued.map(({ userId }) => userId)).toEqual([third, first, second, first]);
    expect(await ledger.begin(first)).toMatchObject({ events: 2 });
    expect(await ledger.begin(second)).toMatchObject({ events: 1 });
    expect(await context.redis.hget(context.keys.ledgerPart("counts"), "accepted:customer.plan_changed")).toBe("1");
  });

  it("counts events that cause no work", async () => {
    const event = routed("", { type: "customer.plan_changed", route: { to: "none", reason: "unroutable" } });
    expect(await admissions().admit(event)).toBe("unroutable");
    // Types that are not known share a counter.
    for (const type of ["made.up1", "made.up2"]) {
      expect(await admissions().admit(routed("", { type, route: { to: "none", reason: "unknown" } }))).toBe("unknown");
    }
    expect(await context.redis.hgetall(context.keys.ledgerPart("counts"))).toEqual({
      "unroutable:customer.plan_changed": "1",
      "unknown:other": "2",
    });
    expect(enqueued).toEqual([]);
  });

  it("admits more events than fit in one batch", async () => {
    const entry = admissions();
    await Promise.all(Array.from({ length: 500 }, (_, n) => entry.admit(routed(testUser(100 + n)))));
    expect(enqueued).toHaveLength(500);
    expect((await ledger.size()).size).toBe(500);
  });
});
