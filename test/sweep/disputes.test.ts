import { defineFlags } from "kindling";
import { blankProfile } from "kindling/contract";
import { expect, it } from "vitest";
import { keepParts } from "../../src/kinde/keep-parts.ts";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import { createDisputes, longestPauseMs, longestUnlistedPauseMs } from "../../src/sweep/disputes.ts";
import { findUnlistedStep } from "../../src/sweep/find-unlisted.ts";
import { type SweepOptions, sweepStep } from "../../src/sweep/sweep.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const minute = 60_000;
const user = testUser(1);

/** A memory with a clock of its own, and what it decides about one user. */
function remember(kind: string, mostNotes?: number) {
  const clock = { now: 1_000 * minute };
  const disputes = createDisputes({
    ...context,
    kind,
    settleMs: 30_000,
    clock: async () => clock.now,
    ...(mostNotes !== undefined && { mostNotes }),
  });
  const find = async (what: { listed?: unknown; userId?: string } = { listed: "no role" }) => {
    const { refresh, disputed } = await disputes.settle([{ userId: user, different: true, ...what }]);
    return [...(refresh.length > 0 ? ["fetch"] : []), ...(disputed.length > 0 ? ["disputed"] : [])];
  };
  const agree = () => disputes.settle([{ userId: user, different: false }]);
  return { clock, find, agree };
}

/** Minutes at which a difference that stays is fetched for, if it is found every few minutes. */
async function fetchTimes(
  kind: string,
  what: { listed?: unknown },
  { every, until }: { every: number; until: number },
) {
  const { clock, find } = remember(kind);
  const times: number[] = [];
  for (let time = 0; time <= until; time += every, clock.now += every * minute)
    if ((await find(what)).includes("fetch")) times.push(time);
  return times;
}

it("a difference that stays is fetched for again after as long as it has lasted, and at least once in a day", async () => {
  const times = await fetchTimes("listed", { listed: "no role" }, { every: 32, until: 5_000 });
  expect(times).toEqual([0, 32, 64, 128, 256, 512, 1_024, 2_048, 3_488, 4_928]);
  expect(longestPauseMs).toBe(1_440 * minute);
});

it("a user that the listing does not show is fetched at least once in an hour, as only that finds changes", async () => {
  const times = await fetchTimes("unlisted", {}, { every: 4, until: 260 });
  expect(times).toEqual([0, 4, 8, 16, 32, 64, 124, 184, 244]);
  expect(longestUnlistedPauseMs).toBe(60 * minute);
});

it("a difference is disputed once two fetches have left it, the second after Kinde has settled", async () => {
  const { clock, find } = remember("settling");
  expect(await find()).toEqual(["fetch"]);
  clock.now += 20_000;
  // The first fetch can have been answered by a copy that lags. This one is the same.
  expect(await find()).toEqual(["fetch"]);
  clock.now += 20_000;
  expect(await find()).toEqual(["fetch"]);
  clock.now += 20_000;
  expect(await find()).toEqual(["disputed"]);
});

it("another difference of a disputed user is fetched for at once, and so is the same after they have agreed", async () => {
  const { clock, find, agree } = remember("changed");
  for (let time = 0; time <= 3; time += 1, clock.now += minute) await find();
  expect(await find()).toEqual(["fetch", "disputed"]);
  expect(await find()).toEqual(["disputed"]);
  expect(await find({ listed: "another role" })).toEqual(["fetch"]);
  clock.now += minute;
  expect(await find({ listed: "another role" })).toEqual(["fetch"]);
  clock.now += 1_000;
  expect(await find({ listed: "another role" })).toEqual(["disputed"]);
  await agree();
  expect(await find({ listed: "another role" })).toEqual(["fetch"]);
});

it("a difference that comes back before a comparison has seen them agree is fetched for", async () => {
  const { clock, find } = remember("lost");
  // Fetched, granted again by an event, and revoked without one.
  expect(await find()).toEqual(["fetch"]);
  clock.now += minute;
  expect(await find()).toEqual(["fetch"]);
});

it("disputes do not outlive a step back of Redis' clock", async () => {
  const { clock, find } = remember("clock");
  for (let time = 0; time <= 3; time += 1, clock.now += minute) await find();
  clock.now -= 120 * minute;
  expect(await find()).toEqual(["fetch"]);
});

it("the memory is bounded, and forgets everything a week after it began", async () => {
  const { clock, find } = remember("bounded", 2);
  const lifetime = () => context.redis.pttl(context.keys.ledgerPart("sweep:disputes:bounded"));
  for (const number of [1, 2, 3]) expect(await find({ userId: testUser(number) })).toEqual(["fetch"]);
  await context.redis.pexpire(context.keys.ledgerPart("sweep:disputes:bounded"), minute);
  clock.now += minute;
  for (const number of [1, 2, 3]) expect(await find({ userId: testUser(number) })).toEqual(["fetch"]);
  expect(await lifetime()).toBeLessThanOrEqual(minute);
  clock.now += 1_000;
  const third = [["disputed"], ["disputed"], ["fetch"]];
  expect(await Promise.all([1, 2, 3].map((number) => find({ userId: testUser(number) })))).toEqual(third);
  await context.redis.persist(context.keys.ledgerPart("sweep:disputes:bounded"));
  clock.now += minute;
  await find({ userId: testUser(1) });
  expect(await lifetime()).toBeGreaterThan(6 * 86_400_000);
});

/** Sweeps over one user whose record and search result have these pictures. */
function sweeping() {
  const clock = { now: 1_000 * minute };
  const search = { picture: "https://cdn/a", properties: {} as Record<string, string>, listed: true };
  const flags = { flags: { level: 1 }, status: "present", fetchedAt: 0, ticket: 1, schema: "" } as const;
  const keep = new Set(["account", "properties"] as const);
  const profile = keepParts({ ...blankProfile(user), picture: "https://cdn/b" }, keep);
  const constants = { level: 1 };
  const definitions = defineFlags({ level: () => constants.level });
  const derived: unknown[] = [];
  const nothing = () => Promise.reject(new Error("Not used."));
  const api: ManagementApi = {
    async get<T>({ path, answer }: Call<T>) {
      const { listed, ...found } = search;
      return answer.parse({ results: path.includes("starting_after") || !listed ? [] : [{ id: user, ...found }] });
    },
    send: nothing,
  };
  const options: SweepOptions = {
    api,
    records: {
      readMany: async () => [{ flags: { ...flags, schema: definitions.schema }, profile }],
      replaceFlags: async (replacements) => derived.push(...replacements.map((each) => each.flags)) && 1,
      tickets: nothing,
      scanIds: async () => ({ userIds: [user], cursor: "0", runId: "one", beganAgain: false }),
    },
    fillPage: { stamp: nothing, needsGrants: () => false, commit: nothing },
    ledger: { gaveUp: async () => 0 },
    absences: { countUnknown: async () => 0, noted: async () => new Set<string>() },
    seen: {
      add: async () => {},
      exists: async () => true,
      missing: async (_mark, ids) => (search.listed ? [] : [...ids]),
    },
    recheckOrganizations: async () => {},
    grantIndex: { begin: nothing, add: nothing, read: nothing, catalogue: nothing, forget: nothing },
    grantChanges: { mark: nothing, since: nothing },
    acknowledge: nothing,
    grantParts: [],
    listed: { remember: nothing, read: nothing, forget: nothing },
    completeness: { beginCount: nothing },
    disputes: createDisputes({ ...context, kind: "sweep", settleMs: 30_000, clock: async () => clock.now }),
    definitions,
    now: () => clock.now,
    pageSize: 1,
    indexLagMs: 0,
    extrasMaxAgeMs: undefined,
    keep,
    signIns: true,
  };
  const call = { priority: "bulk", signal: new AbortController().signal } as const;
  const begin = () => beginSweep({ number: 1, previous: undefined, now: 0, fill: false });
  const list = async () => {
    const { changed, state } = await sweepStep(options, begin(), call);
    return { fetches: changed?.length, different: state.fields, disputed: state.disputed };
  };
  const find = async () => {
    const marks = { mark: { number: 2, bits: 1 }, previous: { number: 1, bits: 1 } };
    const { refresh, state } = await findUnlistedStep(options, { ...begin(), ...marks, cursor: "0" });
    return { fetches: refresh.length, disputed: state.disputed };
  };
  return { clock, search, constants, derived, list, find };
}

it("a sweep does not fetch disputed users each time, and finds at once what else changes", async () => {
  const { clock, search, constants, derived, list } = sweeping();
  for (let time = 0; time < 2; time += 1, clock.now += minute)
    expect(await list()).toEqual({ fetches: 1, different: { picture: 1 }, disputed: {} });
  clock.now -= 1_000;
  expect(await list()).toEqual({ fetches: 0, different: {}, disputed: { picture: 1 } });
  // Their flags are derived again all the same.
  expect(derived).toEqual([]);
  constants.level = 2;
  await list();
  expect(derived).toEqual([{ level: 2 }]);
  search.properties = { tier: "pro" };
  expect(await list()).toEqual({ fetches: 1, different: { picture: 1 }, disputed: {} });
});

it("a sweep does not always fetch users again that Kinde has but the search omits", async () => {
  const { clock, search, list, find } = sweeping();
  search.picture = "https://cdn/b";
  expect(await list()).toMatchObject({ fetches: 0, different: {} });
  search.listed = false;
  for (let time = 0; time < 2; time += 1, clock.now += minute)
    expect(await find()).toEqual({ fetches: 1, disputed: {} });
  clock.now -= 1_000;
  expect(await find()).toEqual({ fetches: 0, disputed: { "not listed": 1 } });
  // Once the search lists them, their absence is news again.
  search.listed = true;
  await list();
  search.listed = false;
  expect(await find()).toEqual({ fetches: 1, disputed: {} });
});
