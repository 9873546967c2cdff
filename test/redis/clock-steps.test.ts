import { Hono } from "hono";
import { beforeEach, describe, expect, it } from "vitest";
import { limitRate } from "../../src/http/limit-rate.ts";
import { createAbsences } from "../../src/redis/absences.ts";
import { createCallBudget } from "../../src/redis/call-budget.ts";
import { createLedger, type Ledger } from "../../src/redis/ledger.ts";
import { takeLock } from "../../src/redis/lock.ts";
import { cutLifetimes, openQueue } from "../../src/redis/queue.ts";
import { readReadableTimes } from "../../src/redis/readable-times.ts";
import { createRecords, type Records } from "../../src/redis/records.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { useRedis } from "../support/redis.ts";
import { type RedisWorld, withRedisWorld } from "../support/redis-clock.ts";
import { testUser } from "../support/signer.ts";

const [second, minute, hour] = [1_000, 60_000, 3_600_000];
const start = 1_800_000_000_000;
const settleMs = 30 * second;
const context = useRedis();
const id = testUser(1);
const profile = {
  id,
  isSuspended: false,
  properties: {},
  organizations: [],
  identities: [],
  billing: { customerId: null, agreements: [] },
};
let world: RedisWorld;
let ledger: Ledger;
let records: Records;
let serial = 0;

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  world = { now: start, runId: "first" };
  const redis = withRedisWorld(context.redis, world);
  // A process whose own clock is a day behind.
  ledger = createLedger({ redis, keys: context.keys, name: "users", now: () => start - 24 * hour, settleMs });
  records = createRecords({ redis, keys: context.keys, tombstoneTtlMs: minute });
});

async function acknowledge(userId = id) {
  serial += 1;
  await createAdmissions({
    replication: { confirm: async () => {} },
    redis: withRedisWorld(context.redis, world),
    keys: context.keys,
    queues: { enqueueRefreshes: async () => {}, enqueueFanouts: async () => {} },
    burst: { quietMs: 250, maxMs: 2_000 },
    onError: () => {},
  }).admit({
    id: `event_${serial}`,
    type: "user.updated",
    route: { to: "users", userIds: [userId], concern: "grants" },
  });
}

const commit = (ticket: number, tier: string) =>
  records.commit({ flags: { tier }, status: "present", fetchedAt: 1, ticket, schema: "s" }, profile as never);
const tier = async () => (await records.read(id)).flags?.flags.tier;

describe("tickets", () => {
  it.each([-hour, -20 * second, hour, 100 * hour])("grow when Redis' clock steps by %i ms", async (step) => {
    const before = (await ledger.begin(id)).ticket;
    world.now += step;
    const after = (await ledger.begin(id)).ticket;
    world.now -= step;
    expect(after).toBeGreaterThan(before);
    expect((await ledger.begin(id)).ticket).toBeGreaterThan(after);
  });

  it("exceed those that a failover lost, although the new primary's clock is behind", async () => {
    const { counter } = context.keys.ticket;
    await ledger.begin(id);
    const replicated = await context.redis.get(counter);
    let inFlight = 0;
    for (let draw = 0; draw < 50; draw += 1) inFlight = (await ledger.begin(id)).ticket;
    // The new primary lacks the last draws.
    await context.redis.set(counter, String(replicated));
    world.now -= 20 * second;
    world.runId = "second";
    const { ticket } = await ledger.begin(id);
    expect(ticket).toBeGreaterThan(inFlight);
    expect(await commit(ticket, "newer")).toBe("committed");
    // The older fetch, which began at the former primary, ends last.
    expect(await commit(inFlight, "older")).toBe("superseded");
    expect(await tier()).toBe("newer");
    expect(Number.isSafeInteger(ticket)).toBe(true);
  });

  it("are counted with the run id of the Redis process that draws them", async () => {
    await createLedger({ redis: context.redis, keys: context.keys, name: "users", now: Date.now }).begin(id);
    const runId = /^run_id:(\w+)/m.exec(await context.redis.info("server"))?.[1];
    expect(runId).toMatch(/^\w{40}$/);
    expect(await context.redis.get(context.keys.ticket.run)).toBe(runId);
  });

  it("exceed an older fetch that commits before the new primary draws", async () => {
    const { counter } = context.keys.ticket;
    await ledger.begin(id);
    const replicated = await context.redis.get(counter);
    const inFlight = (await ledger.begin(id)).ticket;
    expect(await commit(inFlight, "older")).toBe("committed");
    await context.redis.set(counter, String(replicated));
    world.runId = "second";
    const { ticket } = await ledger.begin(id);
    expect(await commit(ticket, "newer")).toBe("committed");
  });

  it("stay the same size while one Redis process draws them", async () => {
    const first = (await ledger.begin(id)).ticket;
    for (let draw = 1; draw <= 20; draw += 1) expect((await ledger.begin(id)).ticket).toBe(first + draw);
  });

  it("are refused if the counter has not reached them: Redis lost its data since", async () => {
    const { ticket } = await ledger.begin(id);
    await context.redis.set(context.keys.ticket.counter, String(ticket - 10));
    await expect(commit(ticket, "older")).rejects.toMatchObject({ code: "redis_unavailable" });
    expect(await tier()).toBeUndefined();
  });

  it("do not let a record that the counter has not reached block its user", async () => {
    const { ticket } = await ledger.begin(id);
    await commit(ticket, "older");
    await context.redis.set(context.keys.ticket.counter, String(ticket - 10));
    // The first refresh finds out, and begins again.
    await expect(commit((await ledger.begin(id)).ticket, "newer")).rejects.toMatchObject({ code: "redis_unavailable" });
    expect(await tier()).toBe("older");
    expect(await commit((await ledger.begin(id)).ticket, "newer")).toBe("committed");
    expect(await tier()).toBe("newer");
  });

  it("never get beyond what numbers can hold, whatever a record contains", async () => {
    await context.redis.set(context.keys.flags(id), JSON.stringify({ flags: {}, status: "present", ticket: 2 ** 52 }));
    const { ticket } = await ledger.begin(id);
    expect(await commit(ticket, "newer")).toBe("committed");
    expect((await ledger.begin(id)).ticket).toBe(ticket + 1);
  });
});

describe("the ledger", () => {
  it("shows members that were acknowledged while Redis' clock was ahead", async () => {
    world.now += 5 * hour;
    await acknowledge();
    world.now -= 5 * hour;
    await ledger.page({ olderThanMs: 30 * second, limit: 10 });
    world.now += 30 * second;
    const { entries } = await ledger.page({ olderThanMs: 30 * second, limit: 10 });
    expect(entries.map(({ member, ageMs }) => [member, ageMs])).toEqual([[id, 30 * second]]);
  });

  it("measures ages by Redis' clock, not by the process's", async () => {
    await acknowledge();
    world.now += 7 * second;
    expect((await ledger.size()).oldestAgeMs).toBe(7 * second);
    expect((await ledger.entry(id))?.ageMs).toBe(7 * second);
    expect((await ledger.page({ olderThanMs: 5 * second, limit: 10 })).entries).toHaveLength(1);
    expect((await ledger.page({ olderThanMs: 8 * second, limit: 10 })).entries).toEqual([]);
  });

  it("reports no negative age after a step back", async () => {
    await acknowledge();
    world.now -= hour;
    expect((await ledger.size()).oldestAgeMs).toBe(0);
    expect((await ledger.entry(id))?.ageMs).toBe(0);
    const begun = await ledger.begin(id);
    expect(await ledger.settle(id, begun.ticket, begun)).toMatchObject({ pending: false });
    const { ever } = await readReadableTimes(context.redis, context.keys, start);
    expect(ever).toMatchObject({ events: 1, sumMs: 0 });
  });

  it("compares events and failures by ticket, so that an event after a failure counts as newer", async () => {
    await acknowledge();
    const failure = { code: "kinde_forbidden", message: "", failedAt: start + hour, attempts: 1, final: true };
    await ledger.fail(id, failure);
    expect(await ledger.entry(id)).toMatchObject({ failure, newer: false });
    world.now -= 2 * hour;
    await acknowledge();
    expect(await ledger.entry(id)).toMatchObject({ failure, newer: true });
  });

  it("keeps a confirming refresh although one that began before a step back settles late", async () => {
    const reflect = async () => {
      await acknowledge();
      const begun = await ledger.begin(id);
      await ledger.settle(id, begun.ticket, begun);
    };
    await reflect();
    world.now += 40 * second;
    const slow = await ledger.begin(id);
    world.now -= 38 * second;
    await reflect();
    await ledger.settle(id, slow.ticket, slow);
    expect(await context.redis.zscore(context.keys.ledgerPart("confirm"), id)).not.toBeNull();
  });

  it("forgets a settled deletion in time although Redis' clock stepped back", async () => {
    const marker = context.keys.ledgerPart(`deleted:${id}`);
    await context.redis.set(marker, "1", "PX", 5 * hour);
    expect((await ledger.begin(id)).deleted).toBe(true);
    expect(await context.redis.pttl(marker)).toBeLessThanOrEqual(2 * minute);
  });
});

describe("a lock", () => {
  it("is free again in time although Redis' clock stepped back", async () => {
    const lockKey = context.keys.ledgerPart("watch");
    const take = () => takeLock(context.redis, { lockKey, holder: "me", ttlMs: 27 * second });
    expect(await take()).toBe(true);
    // What remains of the lifetime after a step of five hours.
    await context.redis.pexpire(lockKey, 5 * hour);
    expect(await take()).toBe(false);
    expect(await context.redis.pttl(lockKey)).toBeLessThanOrEqual(27 * second);
  });
});

describe("a note with a lifetime is cut to its length", () => {
  const grow = (key: string, value: string | number = "1") => context.redis.set(key, value, "PX", 5 * hour);
  const left = (key: string) => context.redis.pttl(key);

  it("if BullMQ keeps it: the last look for stalled jobs, a queue's rate limit, the lock of an active job", async () => {
    const queue = openQueue("bulk", { ...context, onError: () => undefined });
    await context.redis.lpush(queue.toKey("active"), "7", "8");
    const notes = ["stalled-check", "limiter", "7:lock", "8:lock"].map((name) => queue.toKey(name));
    for (const note of notes) await grow(note);
    await context.redis.pexpire(queue.toKey("8:lock"), second);
    await cutLifetimes(context.redis, [queue]);
    const after = await Promise.all(notes.map(left));
    for (const [index, longest] of [5 * second, 5 * second, 15 * second, second].entries()) {
      expect(after[index]).toBeGreaterThan(0);
      expect(after[index]).toBeLessThanOrEqual(longest);
    }
    await queue.close();
  });

  it("if it says that a user is unknown, or that somebody probes", async () => {
    const absences = createAbsences({ ...context, now: Date.now, gapMs: minute });
    const notes = [`unknown:${id}`, "absences:probe"].map(context.keys.ledgerPart);
    for (const note of notes) await grow(note, "running");
    expect(await absences.unknown([id])).toEqual(new Set([id]));
    expect(await absences.probe(async () => true)).toBeUndefined();
    const [unknown, probe] = await Promise.all(notes.map(left));
    expect(unknown).toBeLessThanOrEqual(5 * minute);
    expect(probe).toBeLessThanOrEqual(10 * second);
  });
});

describe("the limit of requests", () => {
  it("ends within a minute although Redis' clock stepped back", async () => {
    const { redis, keys } = context;
    const refuse = (_: unknown, { retryAfter = 0 }) => new Response(String(retryAfter), { status: 429 });
    const limit = limitRate({ redis, key: keys.apiCalls, perMinute: 1, route: "write", refuse });
    const app = new Hono().use(limit).get("/", (request) => request.text("accepted"));
    expect((await app.request("/")).status).toBe(200);
    const [counter = ""] = await redis.keys(`*${keys.apiCalls}*`);
    await redis.pexpire(counter, 2 * hour);
    const refused = await app.request("/");
    expect(refused.status).toBe(429);
    expect(Number(await refused.text())).toBe(60);
    const left = await redis.pttl(counter);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(minute);
  });
});

describe("the call budget", () => {
  const budget = (leaseMs = minute) =>
    createCallBudget({
      redis: withRedisWorld(context.redis, world),
      keys: context.keys,
      perMinute: 60,
      atOnce: 4,
      leaseMs,
    });
  const call = () =>
    budget()
      .run("webhook", async () => "made", { patienceMs: 0 })
      .catch(({ code }) => code);

  it.each([-hour, -20 * second])("grants calls again soon after a step of %i ms while it is empty", async (step) => {
    while ((await call()) === "made");
    expect(await call()).toBe("throttled");
    world.now += step;
    expect(await call()).toBe("throttled");
    world.now += 2 * second;
    expect(await call()).toBe("made");
  });

  it("grants no more than its capacity after a step ahead", async () => {
    while ((await call()) === "made");
    world.now += 10 * hour;
    let made = 0;
    while ((await call()) === "made") made += 1;
    expect(made).toBe(10);
  });

  it("ends a pause when it would have ended without the step back", async () => {
    await budget().pause(minute);
    world.now += 20 * second;
    expect((await budget().state()).pausedMs).toBe(40 * second);
    world.now -= 3 * hour;
    expect((await budget().state()).pausedMs).toBe(40 * second);
    world.now += 41 * second;
    expect((await budget().state()).pausedMs).toBe(0);
    expect(await call()).toBe("made");
  });

  it("counts a pause that begins right after a step back in full", async () => {
    await call();
    world.now -= hour;
    await budget().pause(minute);
    expect((await budget().state()).pausedMs).toBe(minute);
  });

  it("recovers the leases of a crashed process although the clock stepped back", async () => {
    const never = new Promise<void>(() => {});
    for (let n = 0; n < 4; n += 1) {
      await new Promise<void>((begun) => {
        void budget(10 * second).run("webhook", () => {
          begun();
          return never;
        });
      });
    }
    expect((await budget().state()).inUse).toBe(4);
    world.now -= hour;
    expect((await budget().state()).inUse).toBe(4);
    world.now += 11 * second;
    expect((await budget().state()).inUse).toBe(0);
  });

  it("ends the limit of a subject when it would have ended without the step back", async () => {
    const limited = `${context.keys.callBudget}:limited`;
    const ask = () =>
      budget()
        .run("webhook", async () => 1, { subject: "kp_1", patienceMs: 0 })
        .catch(({ retryAfterMs }) => retryAfterMs);
    await budget().limit("kp_1", minute);
    await context.redis.pexpire(`${limited}:kp_1`, 5 * hour);
    world.now -= 5 * hour;
    expect(await ask()).toBeLessThanOrEqual(minute);
    expect(await context.redis.pttl(`${limited}:kp_1`)).toBeLessThanOrEqual(minute);
    world.now += minute + second;
    expect((await budget().state()).limited).toBe(0);
    // An older release does not say how long it is.
    await context.redis.set(`${limited}:kp_1`, "1", "PX", minute);
    await budget().limit("kp_2", minute);
    expect(await ask()).toBeGreaterThan(minute / 2);
  });

  it("counts a pause for many limited subjects that begins right after a step back in full", async () => {
    await call();
    world.now -= hour;
    for (const subject of ["kp_1", "kp_2", "kp_3"]) await budget().limit(subject, minute);
    expect((await budget().state()).pausedMs).toBe(minute);
  });
});
