import { blankProfile, type FlagsRecord } from "kindling/contract";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRecords, scanStart } from "../../src/redis/records.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const records = () => createRecords({ ...context, tombstoneTtlMs: 60_000 });
const record = (ticket: number, flags: Record<string, unknown> = { ticket }): FlagsRecord => ({
  flags,
  status: "present",
  fetchedAt: 1_700_000_000_000,
  ticket,
  schema: "abc",
});
// As large as real tickets, which are microseconds since the epoch.
const first = 1_795_000_000_000_001;

describe("records", () => {
  it("are stored in the two public keys, in one cluster slot", async () => {
    const id = testUser(1);
    await records().commit(record(first), { ...blankProfile(id), email: "ada@example.com" });
    const { redis, keys } = context;
    expect(keys.flags(id)).toBe(`${keys.prefix}:flags:{${id}}`);
    expect(JSON.parse((await redis.get(`${keys.prefix}:flags:{${id}}`)) ?? "")).toEqual(record(first));
    expect(JSON.parse((await redis.get(`${keys.prefix}:profile:{${id}}`)) ?? "")).toMatchObject({
      id,
      email: "ada@example.com",
    });
  });

  it("are overwritten by a later ticket, never by an older one", async () => {
    const profile = blankProfile(testUser(2));
    expect(await records().commit(record(first + 1), profile)).toBe("committed");
    expect(await records().commit(record(first), profile)).toBe("superseded");
    expect((await records().read(profile.id)).flags?.ticket).toBe(first + 1);
    expect(await records().commit(record(first + 2), profile)).toBe("committed");
    expect((await records().read(profile.id)).flags?.ticket).toBe(first + 2);
  });

  it("can be committed again by the same refresh after its answer was lost", async () => {
    const profile = blankProfile(testUser(3));
    await records().commit(record(first), profile);
    expect(await records().commit(record(first), profile)).toBe("committed");
  });

  it("are not revived after deletion by a refresh that began earlier", async () => {
    const profile = blankProfile(testUser(4));
    await records().commit(record(first), profile);
    expect(await records().bury(profile.id, { ...record(first + 2), status: "deleted" })).toBe("committed");
    expect(await records().commit(record(first + 1), profile)).toBe("superseded");
    const { flags, profile: kept } = await records().read(profile.id);
    expect(flags?.status).toBe("deleted");
    expect(kept).toBeUndefined();
    expect(await context.redis.pttl(context.keys.flags(profile.id))).toBeGreaterThan(0);
  });

  it("become permanent again when a deleted user returns", async () => {
    const profile = blankProfile(testUser(5));
    await records().bury(profile.id, { ...record(first), status: "deleted" });
    await records().commit(record(first + 1), profile);
    expect(await context.redis.pttl(context.keys.flags(profile.id))).toBe(-1);
  });

  it.each(["", "{", "[]", "null", '{"ticket":"x"}', "\u0000"])(
    "are repaired by any refresh if they contain %j",
    async (junk) => {
      const profile = blankProfile(testUser(6));
      await context.redis.set(context.keys.flags(profile.id), junk);
      expect((await records().read(profile.id)).flags).toBeUndefined();
      expect(await records().commit(record(1), profile)).toBe("committed");
      expect((await records().read(profile.id)).flags?.ticket).toBe(1);
      await context.redis.del(context.keys.flags(profile.id));
    },
  );

  // A flag such as `name.slice(0, 10)` can end within an emoji.
  it("are protected by their ticket and noted as changes, whatever a flag's text contains", async () => {
    const profile = blankProfile(testUser(8));
    const store = createRecords({ ...context, tombstoneTtlMs: 60_000, changesKept: 100 });
    const half = record(first + 1, { initial: "Ada \ud83d", other: "\\ud800 \udc00" });
    expect(await store.commit(half, profile)).toBe("committed");
    expect(await store.commit(record(first), profile)).toBe("superseded");
    expect(await store.commitMissing([{ record: record(first + 2), profile }])).toBe(0);
    expect((await store.read(profile.id)).flags).toEqual(half);
    expect(await store.commit({ ...half, ticket: first + 2 }, profile)).toBe("committed");
    expect(await context.redis.xlen(context.keys.changes)).toBe(1);
    const replaced = {
      userId: profile.id,
      record: { ...half, ticket: first + 2 },
      flags: { initial: "A" },
      schema: "b",
    };
    expect(await store.replaceFlags([replaced])).toBe(1);
  });

  // As an earlier release, or another writer, can have stored them.
  it("are protected by their ticket and noted as changes, however deep they nest, and count as corrupt", async () => {
    const profile = blankProfile(testUser(9));
    const store = createRecords({ ...context, tombstoneTtlMs: 60_000, changesKept: 100 });
    const deep = record(first + 1, { ticket: first + 9, v: JSON.parse("[".repeat(2_000) + "]".repeat(2_000)) });
    const changes = await context.redis.xlen(context.keys.changes);
    expect(await store.commit(deep, profile)).toBe("committed");
    expect((await store.read(profile.id)).flags).toBeUndefined();
    expect(await store.commit(record(first), profile)).toBe("superseded");
    expect(await store.commitMissing([{ record: record(first + 2), profile }])).toBe(0);
    expect(await store.commit(record(first + 2), profile)).toBe("committed");
    expect((await store.read(profile.id)).flags?.ticket).toBe(first + 2);
    expect(await context.redis.xlen(context.keys.changes)).toBe(changes + 2);
  });

  it("can be committed after Redis forgot its scripts", async () => {
    await context.redis.script("FLUSH");
    expect(await records().commit(record(first), blankProfile(testUser(7)))).toBe("committed");
  });
});

describe("commitMissing", () => {
  it("writes only missing records, even after Redis forgot its scripts", async () => {
    const [held, buried, ...fresh] = [20, 21, 22, 23].map((number) => blankProfile(testUser(number)));
    if (held === undefined || buried === undefined) throw new Error("Expected two profiles.");
    await records().commit(record(first), held);
    await records().bury(buried.id, { ...record(first), status: "deleted" });
    await context.redis.script("FLUSH");
    const entries = [held, buried, ...fresh].map((profile) => ({ record: record(first + 9), profile }));
    expect(await records().commitMissing(entries)).toBe(2);
    expect(await records().tickets(entries.map(({ profile }) => profile.id))).toEqual([
      first,
      first,
      first + 9,
      first + 9,
    ]);
    expect(await records().commitMissing(entries)).toBe(0);
    expect(await records().commitMissing([])).toBe(0);
  });
});

describe("scan", () => {
  const ids = Array.from({ length: 300 }, (_, n) => testUser(1000 + n));
  beforeEach(async () => {
    for (const id of ids) await records().commit(record(first), blankProfile(id));
  });

  it("finds every profile", async () => {
    const found = new Set<string>();
    let place = scanStart;
    do {
      const page = await records().scan(place, 50);
      for (const { id } of page.profiles) found.add(id);
      expect(page.beganAgain).toBe(false);
      place = page;
    } while (place.cursor !== scanStart.cursor);
    expect([...found]).toEqual(expect.arrayContaining(ids));
  });

  it("begins again if another Redis process has taken over since, or if the process is not known", async () => {
    const page = await records().scanIds(scanStart, 1);
    expect(page).toMatchObject({ beganAgain: false, cursor: expect.not.stringMatching(/^0$/) });
    for (const runId of ["another process", undefined])
      expect(await records().scanIds({ ...page, runId }, 1)).toEqual({ ...page, beganAgain: true });
    expect(await records().scanIds(page, 1)).toMatchObject({ beganAgain: false });
  });

  describe("among many keys of other applications", () => {
    beforeEach(async () => {
      const names = Array.from({ length: 20_000 }, (_, n) => `${context.keys.prefix}:session:${n}`);
      await context.redis.mset(names.flatMap((name) => [name, ""]));
    });
    afterEach(() => {
      vi.restoreAllMocks();
    });

    it("fills its pages, with few commands", async () => {
      const scans = vi.spyOn(context.redis, "scan");
      const pages: string[][] = [];
      let place = scanStart;
      do {
        const page = await records().scanIds(place, 50);
        pages.push(page.userIds);
        place = page;
      } while (place.cursor !== scanStart.cursor);
      expect(pages.flat()).toEqual(expect.arrayContaining(ids));
      for (const page of pages) expect(page.length).toBeLessThanOrEqual(100);
      for (const page of pages.slice(0, -1)) expect(page.length).toBeGreaterThanOrEqual(25);
      // Each would look at 50 keys otherwise.
      expect(scans.mock.calls.length).toBeLessThan(200);
      const counts = scans.mock.calls.map((call) => Number((call as unknown[]).at(-1)));
      expect(Math.max(...counts)).toBeLessThanOrEqual(2_000);
    });

    it("ends a page without a profile after a bounded number of commands", async () => {
      const scans = vi.spyOn(context.redis, "scan").mockImplementation(async () => ["7", []]);
      const { cursor, userIds } = await records().scanIds(scanStart, 100);
      expect({ cursor, userIds }).toEqual({ cursor: "7", userIds: [] });
      expect(scans).toHaveBeenCalledTimes(100);
    });

    it("begins again if another Redis process takes over within a page", async () => {
      const begun = await records().scanIds(scanStart, 50);
      const info = vi.spyOn(context.redis, "info").mockResolvedValue("run_id:heir");
      info.mockResolvedValueOnce(`run_id:${begun.runId}`);
      expect(await records().scanIds(begun, 50)).toEqual({ ...begun, runId: "heir", beganAgain: true });
    });
  });
});

describe("profiles that do not fit", () => {
  const whole = blankProfile(testUser(40));
  const organizations = [{ code: "org_a", roles: [{ id: "1", key: "a" }], permissions: [] }];

  it("are read while every part that code relies on is there", async () => {
    const profile = { ...whole, organizations };
    await context.redis.set(context.keys.profile(whole.id), JSON.stringify(profile));
    expect((await records().read(whole.id)).profile).toEqual(profile);
  });

  it.each<[string, string]>([
    ["no JSON", "{"],
    ["an array", "[]"],
    ["no properties", JSON.stringify({ ...whole, properties: undefined })],
    ["no billing", JSON.stringify({ ...whole, billing: null })],
    ["a membership without roles", JSON.stringify({ ...whole, organizations: [{ code: "org_a", permissions: [] }] })],
    [
      "a grant without an id",
      JSON.stringify({ ...whole, organizations: [{ code: "a", roles: [{}], permissions: [] }] }),
    ],
    ["an identity without a type", JSON.stringify({ ...whole, identities: [{}] })],
    ["an agreement without a plan", JSON.stringify({ ...whole, billing: { customerId: null, agreements: [{}] } })],
    ...(["lastSignedIn", "createdOn", "email", "phone", "totalSignIns"] as const).flatMap(
      (member): [string, string][] => [
        [`${member} as a list`, JSON.stringify({ ...whole, [member]: [] })],
        [`no ${member}`, JSON.stringify({ ...whole, [member]: undefined })],
      ],
    ),
    ["a property that is no text", JSON.stringify({ ...whole, properties: { plan: null, seats: 5 } })],
    ["parts that are no number", JSON.stringify({ ...whole, parts: { valueOf: 1, toString: 1 } })],
    ["a customer id that is no text", JSON.stringify({ ...whole, billing: { customerId: 5, agreements: [] } })],
    ["an identity that is no text", JSON.stringify({ ...whole, identities: [{ type: "email", identity: 5 }] })],
  ])("count as missing: %s", async (_what, text) => {
    await context.redis.set(context.keys.profile(whole.id), text);
    expect((await records().read(whole.id)).profile).toBeUndefined();
  });
});

describe("the stream of changes", () => {
  const recording = (changesKept: number) => createRecords({ ...context, tombstoneTtlMs: 60_000, changesKept });
  const changesOf = async (userId: string) => {
    const entries = await context.redis.xrange(context.keys.changes, "-", "+");
    return entries
      .map(([, [user, id, record, text = "", previous, before = ""]]) => {
        expect([user, record, previous]).toEqual(["user", "record", "previous"]);
        return { id, record: JSON.parse(text), previous: before === "" ? null : JSON.parse(before) };
      })
      .filter(({ id }) => id === userId);
  };

  it("has an entry for the first record and each one with other values, with the record before", async () => {
    const profile = blankProfile(testUser(50));
    const flags = { tier: "pro", limits: { seats: 3, regions: ["eu", "us"] }, region: null };
    const [one, two, three] = [record(first, flags), record(first + 1, { ...flags, tier: "free" }), record(first + 2)];
    for (const each of [one, two, three]) await recording(100).commit(each, profile);
    expect(await changesOf(profile.id)).toEqual([
      { id: profile.id, record: one, previous: null },
      { id: profile.id, record: two, previous: one },
      { id: profile.id, record: three, previous: two },
    ]);
  });

  it("has none if only ticket, time or the order of members differ", async () => {
    const profile = blankProfile(testUser(51));
    await recording(100).commit(record(first, { a: 1, b: { c: [1, { d: null }], e: "x" } }), profile);
    const same = { ...record(first + 1, { b: { e: "x", c: [1, { d: null }] }, a: 1 }), fetchedAt: 1_700_000_000_001 };
    await recording(100).commit(same, profile);
    expect(await changesOf(profile.id)).toHaveLength(1);
  });

  it.each([
    ["a value in an array", { b: { c: [2, { d: null }] } }],
    ["a nested value", { b: { c: [1, { d: 0 }] } }],
    ["a member more", { b: { c: [1, { d: null }], e: 1 } }],
    ["a member less", { b: {} }],
    ["another type", { b: "[object]" }],
  ])("has one if %s differs", async (_what, flags) => {
    const profile = blankProfile(`${testUser(52)}${Math.random().toString(36).slice(2)}`);
    await recording(100).commit(record(first, { b: { c: [1, { d: null }] } }), profile);
    await recording(100).commit(record(first + 1, flags), profile);
    expect(await changesOf(profile.id)).toHaveLength(2);
  });

  it("has one for a deletion, and none for a superseded commit or an existing record", async () => {
    const profile = blankProfile(testUser(53));
    await recording(100).commit(record(first + 1), profile);
    await recording(100).bury(profile.id, { ...record(first + 2, { ticket: first + 1 }), status: "deleted" });
    await recording(100).commit(record(first, { other: true }), profile);
    await recording(100).commitMissing([{ record: record(first + 9, { other: true }), profile }]);
    expect((await changesOf(profile.id)).map(({ record }) => record.status)).toEqual(["present", "deleted"]);
  });

  it("treats an unreadable record as none", async () => {
    const profile = blankProfile(testUser(54));
    await context.redis.set(context.keys.flags(profile.id), "{");
    await recording(100).commit(record(first), profile);
    expect(await changesOf(profile.id)).toMatchObject([{ previous: null }]);
  });

  it("is bounded", async () => {
    const profile = blankProfile(testUser(55));
    for (let n = 0; n < 300; n += 1) await recording(10).commit(record(first + n), profile);
    // Redis trims whole nodes of at most 100 entries.
    expect(await context.redis.xlen(context.keys.changes)).toBeLessThanOrEqual(110);
  });

  it("is not written by default", async () => {
    const { length } = await context.redis.xrange(context.keys.changes, "-", "+");
    await records().commit(record(first), blankProfile(testUser(56)));
    expect(await context.redis.xlen(context.keys.changes)).toBe(length);
  });

  it("has one for flags that were derived again and differ", async () => {
    const profile = blankProfile(testUser(57));
    const stored = record(first, { tier: "free" });
    await recording(100).commit(stored, profile);
    const replace = (tier: string, schema: string, held: FlagsRecord) =>
      recording(100).replaceFlags([{ userId: profile.id, record: held, flags: { tier }, schema }]);
    await replace("free", "new", stored);
    const same = { ...stored, schema: "new" };
    await replace("pro", "newer", same);
    expect(await changesOf(profile.id)).toEqual([
      { id: profile.id, record: stored, previous: null },
      { id: profile.id, record: { ...stored, flags: { tier: "pro" }, schema: "newer" }, previous: same },
    ]);
  });
});

describe("flags derived again", () => {
  const replacement = (number: number, stored: FlagsRecord) => ({
    ...{ userId: testUser(number), record: stored, flags: { tier: "pro" }, schema: "new" },
  });

  it("keep the age and ticket of the record, and members of other releases", async () => {
    const profile = blankProfile(testUser(30));
    const stored = { ...record(first), source: "newer" };
    await records().commit(stored, profile);
    expect(await records().replaceFlags([replacement(30, stored)])).toBe(1);
    const { flags, profile: kept } = await records().read(profile.id);
    expect(flags).toEqual({ ...stored, flags: { tier: "pro" }, schema: "new" });
    expect(kept).toEqual(profile);
    // A refresh that drew its ticket before and commits after still wins.
    expect(await records().commit(record(first + 1), profile)).toBe("committed");
  });

  it("never replace a record written in the meantime, a tombstone, or nothing", async () => {
    const stored = record(first);
    await records().commit(record(first + 1), blankProfile(testUser(31)));
    await records().bury(testUser(32), { ...stored, status: "deleted" });
    expect(await records().replaceFlags([31, 32, 33].map((number) => replacement(number, stored)))).toBe(0);
    expect((await records().read(testUser(31))).flags).toEqual(record(first + 1));
    expect((await records().read(testUser(32))).flags?.status).toBe("deleted");
    expect((await records().read(testUser(33))).flags).toBeUndefined();
  });
});
