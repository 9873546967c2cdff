import { beforeEach, describe, expect, it } from "vitest";
import { type Begun, createLedger, type Ledger } from "../../src/redis/ledger.ts";
import { readableBoundsMs, readReadableTimes, shareWithin } from "../../src/redis/readable-times.ts";
import { createAcknowledgeUsers } from "../../src/refresh/acknowledge-users.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const id = testUser(1);
let ledger: Ledger;
let serial = 0;

beforeEach(async () => {
  const leftovers = await context.redis.keys(`*${context.keys.prefix}*`);
  if (leftovers.length > 0) await context.redis.del(leftovers);
  ledger = createLedger({ redis: context.redis, keys: context.keys, name: "users", now: Date.now });
});

const queues = {
  enqueueRefreshes: async () => undefined,
  enqueueFanouts: async () => undefined,
  enqueueBulk: async () => undefined,
};

const times = (now = Date.now()) => readReadableTimes(context.redis, context.keys, now);
const counted = async () => (await times()).ever.events;

async function admit(count = 1) {
  const admissions = createAdmissions({
    replication: { confirm: async () => {} },
    ...context,
    queues,
    burst: { quietMs: 0, maxMs: 0 },
    onError: (error) => {
      throw error;
    },
  });
  for (let n = 0; n < count; n += 1) {
    serial += 1;
    const route = { to: "users", userIds: [id], concern: "grants" } as const;
    await admissions.admit({ id: `event_${serial}`, type: "user.updated", route });
  }
}

const timesKey = () => context.keys.ledgerPart("times");

/** Makes all outstanding events older. */
async function age(ms: number) {
  await context.redis.zincrby(context.keys.ledger, -ms * 1000, id);
  const times = await context.redis.hgetBuffer(timesKey(), id);
  if (times === null) return;
  for (let at = 0; at < times.length; at += 8) times.writeDoubleBE(times.readDoubleBE(at) - ms * 1000, at);
  await context.redis.hset(timesKey(), id, times);
}

const settle = async ({ ticket, ...begun }: Begun) =>
  (await ledger.settle(id, ticket, begun)).pending ? "pending" : "settled";

describe("readable times", () => {
  it("count every event of a burst with its own time", async () => {
    for (const ms of [4_000, 20_000, 200]) {
      await admit();
      await age(ms);
    }
    await admit();
    expect(await settle(await ledger.begin(id))).toBe("settled");
    const { ever, lastDay } = await times();
    expect(ever.events).toBe(4);
    const shares = ([100, 250, 10_000, 30_000] as const).map((bound) => shareWithin(ever, bound));
    expect(shares).toEqual([0.25, 0.5, 0.5, 1]);
    expect(ever.sumMs).toBeGreaterThanOrEqual(24_200 + 20_200 + 200);
    expect(lastDay).toEqual(ever);
    expect(await context.redis.exists(timesKey())).toBe(0);
  });

  it("of events that arrive during the fetch are their own, too", async () => {
    await admit();
    await age(60_000);
    await admit();
    await age(20_000);
    const first = await ledger.begin(id);
    await admit(2);
    expect(await settle(first)).toBe("pending");
    const shares = async () =>
      ([1_000, 30_000, 300_000] as const).map(async (bound) => shareWithin((await times()).ever, bound));
    expect(await Promise.all(await shares())).toEqual([0, 0.5, 1]);
    await age(400);
    await admit();
    await settle(await ledger.begin(id));
    expect(await Promise.all(await shares())).toEqual([0.6, 0.8, 1]);
  });

  it("of many events are kept for the first 1,000, and the others count with the last of these", async () => {
    const acknowledge = createAcknowledgeUsers({ ...context, queues });
    await acknowledge(
      Array.from({ length: 999 }, () => id),
      { concern: "grants" },
    );
    await age(7_000);
    await acknowledge([id, id, id], { concern: "grants" });
    expect(await context.redis.hstrlen(timesKey(), id)).toBe(8 * 1_000);
    await settle(await ledger.begin(id));
    const { ever } = await times();
    expect([ever.events, ever.within[readableBoundsMs.indexOf(5_000)]]).toEqual([1_002, 3]);
  });

  it("count with the age of the oldest if an earlier release admitted the events", async () => {
    await admit(3);
    await age(7_000);
    await context.redis.del(timesKey());
    await admit();
    await settle(await ledger.begin(id));
    const { ever } = await times();
    expect([ever.events, shareWithin(ever, 5_000), shareWithin(ever, 10_000)]).toEqual([4, 0, 1]);
  });

  it("fill one bucket per event", async () => {
    for (const seconds of [0, 3, 40, 100_000]) {
      await admit();
      await age(seconds * 1000);
      await settle(await ledger.begin(id));
    }
    const { ever } = await times();
    expect(ever.events).toBe(4);
    const shares = ([1_000, 10_000, 60_000, 300_000] as const).map((bound) => shareWithin(ever, bound));
    expect(shares).toEqual([0.25, 0.5, 0.75, 0.75]);
    expect(ever.within.at(-1)).toBe(3);
  });

  it("leave out events that arrive during the fetch until a refresh reflects them", async () => {
    await admit(2);
    const first = await ledger.begin(id);
    await admit(3);
    expect(await settle(first)).toBe("pending");
    expect(await counted()).toBe(2);
    expect(await settle(await ledger.begin(id))).toBe("settled");
    expect(await counted()).toBe(5);
  });

  it("count each event once, and not too early, if refreshes overlap", async () => {
    await admit();
    const first = await ledger.begin(id);
    await admit();
    const second = await ledger.begin(id);
    await admit();
    await settle(second);
    expect(await counted()).toBe(2);
    await admit();
    await settle(first);
    expect(await counted()).toBe(2);
    await settle(await ledger.begin(id));
    expect(await counted()).toBe(4);
    // A refresh that began before the user was settled says nothing about later events.
    await admit();
    await settle(first);
    expect(await counted()).toBe(4);
  });

  it("count each event once if new events overtake several refreshes", async () => {
    await admit();
    const first = await ledger.begin(id);
    await admit();
    const second = await ledger.begin(id);
    await admit();
    await settle(first);
    expect(await counted()).toBe(1);
    await settle(second);
    expect(await counted()).toBe(2);
    await settle(await ledger.begin(id));
    expect(await counted()).toBe(3);
  });

  it("wait for a refresh that knows how many events it reflects", async () => {
    await admit();
    await age(60_000);
    const { ticket } = await ledger.begin(id);
    await admit();
    expect(await ledger.settle(id, ticket)).toMatchObject({ pending: true });
    expect(await counted()).toBe(0);
    await settle(await ledger.begin(id));
    const { ever } = await times();
    expect([ever.events, shareWithin(ever, 30_000), shareWithin(ever, 300_000)]).toEqual([2, 0.5, 1]);
  });

  it("of a fan-out's users start at the event, not when the users were found", async () => {
    const acknowledge = createAcknowledgeUsers({ ...context, queues });
    await acknowledge([id], { concern: "grants", since: (await ledger.begin("x")).at - 20_000_000 });
    await acknowledge([id], { concern: "grants" });
    await settle(await ledger.begin(id));
    const { ever } = await times();
    expect([ever.events, shareWithin(ever, 10_000), shareWithin(ever, 60_000)]).toEqual([2, 0.5, 1]);
  });

  it("exclude discarded events, fan-outs and refreshes without an event", async () => {
    await admit(2);
    await ledger.discard(id);
    const fanouts = createLedger({ redis: context.redis, keys: context.keys, name: "fanouts", now: Date.now });
    await context.redis.zadd(context.keys.ledgerPart("fanouts"), 1, "role:1");
    await fanouts.settle("role:1", (await fanouts.begin("role:1")).ticket);
    await ledger.settle(testUser(2), (await ledger.begin(testUser(2))).ticket, { events: 0 });
    expect(await times()).toMatchObject({ ever: { events: 0 }, lastDay: { events: 0 } });
    expect(shareWithin((await times()).ever, readableBoundsMs[0])).toBeNull();
  });

  it("drop out of the last day after a day, never out of the total", async () => {
    await admit();
    await settle(await ledger.begin(id));
    expect(await times(Date.now() + 23 * 3_600_000)).toMatchObject({ lastDay: { events: 1 } });
    expect(await times(Date.now() + 25 * 3_600_000)).toMatchObject({ ever: { events: 1 }, lastDay: { events: 0 } });
    const [hour = ""] = await context.redis.keys(`*${context.keys.prefix}*readable:*`);
    expect(await context.redis.pttl(hour)).toBeGreaterThan(24 * 3_600_000);
  });
});
