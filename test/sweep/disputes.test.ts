import { expect, it } from "vitest";
import { createDisputes, longestPauseMs, longestUnlistedPauseMs } from "../../src/sweep/disputes.ts";
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
