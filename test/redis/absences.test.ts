import { beforeEach, describe, expect, it } from "vitest";
import { type Absences, absencesKey, createAbsences } from "../../src/redis/absences.ts";
import { createKeys, type Keys } from "../../src/redis/keys.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";
import { uniquePrefix } from "../support/stack.ts";
import { unreadable } from "../support/stored.ts";

const context = useRedis();
const id = testUser(1);
let keys: Keys;
let absences: Absences;

beforeEach(() => {
  keys = createKeys(`${context.keys.prefix}:${uniquePrefix()}`);
  absences = createAbsences({ redis: context.redis, keys, now: Date.now, gapMs: 60_000 });
});

interface Stored {
  v: number;
  first: number;
  last: number;
  count: number;
}

const stored = async () => JSON.parse((await context.redis.hget(absencesKey(keys), id)) ?? "null") as Stored | null;

/** Moves the last observation into the past, or the future with a negative number. */
async function age(ms: number): Promise<void> {
  const absence = (await stored()) as Stored;
  await context.redis.hset(absencesKey(keys), id, JSON.stringify({ ...absence, last: absence.last - ms }));
}

const observe = async () => (await absences.note(id, true)).observations;

describe("an absence", () => {
  it("counts once per gap", async () => {
    expect(await observe()).toBe(1);
    expect(await observe()).toBe(1);
    await age(60_001);
    expect(await observe()).toBe(2);
    expect(await observe()).toBe(2);
  });

  it("starts over after a long time without another look", async () => {
    await observe();
    await age(60_001);
    expect(await observe()).toBe(2);
    await age(90_000_000);
    expect(await observe()).toBe(1);
  });

  it("does not count faster after Redis' clock has stepped back", async () => {
    await observe();
    await age(-3_600_000);
    expect(await observe()).toBe(1);
    expect((await stored())?.last).toBeLessThanOrEqual(Date.now() + 1_000);
  });

  it.each(unreadable({ v: 1, first: 1, last: 1, count: 1 }).filter(([what]) => what !== "a newer version"))(
    "starts over if the note is %s",
    async (_what, text) => {
      await context.redis.hset(absencesKey(keys), id, text);
      expect(await observe()).toBe(1);
    },
  );

  it("is looked at again when the gap is over, once for the fleet", async () => {
    await observe();
    expect(await absences.takeDue(10)).toEqual([]);
    await context.redis.zadd(keys.ledgerPart("absences:due"), 1, id);
    expect(await absences.takeDue(10)).toEqual([id]);
    expect(await absences.takeDue(10)).toEqual([]);
    expect(await absences.summary()).toMatchObject({ users: 1 });
  });

  it("is forgotten with everything about it", async () => {
    await observe();
    await absences.clear(id);
    expect(await absences.noted([id])).toEqual(new Set());
    expect(await absences.summary()).toEqual({ users: 0, suspendedSince: null });
    expect((await absences.note(testUser(2), true)).recent).toBe(1);
  });
});

describe("a suspension", () => {
  it("keeps its beginning, and drops observations that were made before", async () => {
    await observe();
    await absences.suspend();
    const { suspendedSince } = await absences.summary();
    await absences.suspend();
    expect(await absences.summary()).toEqual({ users: 1, suspendedSince });
    expect(await absences.noted([id])).toEqual(new Set());
    // A last look, because Kinde may have the user.
    await context.redis.zadd(keys.ledgerPart("absences:due"), 1, id);
    expect(await absences.takeDue(10)).toEqual([id]);
    expect(await absences.summary()).toMatchObject({ users: 0 });
    await absences.resume();
    expect(await absences.isSuspended()).toBe(false);
  });
});

describe("a probe", () => {
  it("runs once for the fleet, and the others get its result", async () => {
    let runs = 0;
    const run = async () => {
      runs += 1;
      expect(await absences.probe(async () => true)).toBeUndefined();
      return false;
    };
    expect(await absences.probe(run)).toBe(false);
    expect(await absences.probe(run)).toBe(false);
    expect(runs).toBe(1);
  });

  it("that fails leaves no result", async () => {
    await expect(absences.probe(() => Promise.reject(new Error("down")))).rejects.toThrow("down");
    expect(await absences.probe(async () => true)).toBe(true);
  });
});

describe("an unknown user", () => {
  it("is marked for longer each time, up to five minutes, and counted for hours", async () => {
    const lifetimes: number[] = [];
    for (let time = 0; time < 9; time += 1) {
      await absences.noteUnknown(id, 1);
      lifetimes.push(Math.round((await context.redis.pttl(keys.ledgerPart(`unknown:${id}`))) / 1000));
    }
    expect(lifetimes).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300]);
    expect(await absences.unknown([id, testUser(2)])).toEqual(new Set([id]));
    expect(await absences.countUnknown([id, testUser(2)])).toBe(1);
  });

  it("is known as soon as there is a record", async () => {
    await absences.noteUnknown(id, 1);
    await context.redis.set(keys.flags(id), "{}");
    expect(await absences.unknown([id])).toEqual(new Set());
  });

  it("wakes readers by a message", async () => {
    const subscriber = context.redis.duplicate();
    const message = new Promise((resolve) => subscriber.on("message", (_channel, text) => resolve(text)));
    await subscriber.subscribe(keys.commits(id));
    await absences.noteUnknown(id, 42);
    expect(await message).toBe("42");
    subscriber.disconnect();
  });
});
