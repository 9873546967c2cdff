import { blankProfile } from "kindling/contract";
import { expect, it } from "vitest";
import type { SearchedUser } from "../../src/kinde/search-users.ts";
import { isAged, nextTurns } from "../../src/sweep/aged.ts";
import type { FinishedSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep, nobodyAged } from "../../src/sweep/sweep-state.ts";
import { testUser } from "../support/signer.ts";

const hour = 3_600_000;
const extrasMaxAgeMs = 168 * hour;
const periodMs = extrasMaxAgeMs / 2;
const begun = 1_800_000_000_000;

/** Members of an organization, whose records were all fetched at the same moment. */
function createMembers(count: number, fetchedAt: number) {
  const members = Array.from({ length: count }, (_, index) => {
    const flags = { flags: {}, status: "present" as const, fetchedAt, ticket: 1, schema: "" };
    const user = { id: testUser(index), organizations: ["org_a"] } as unknown as SearchedUser;
    return { user, record: { flags, profile: blankProfile(user.id) } };
  });
  /** Refreshes the members that a sweep finds aged, and returns their ages. */
  const refresh = (now: number, turns: ReturnType<typeof nextTurns>): number[] =>
    members.flatMap(({ user, record }) => {
      const aged = { ...nobodyAged, members: true, ...turns };
      if (!isAged({ aged, extrasMaxAgeMs, now: () => now }, user, record)) return [];
      const age = now - record.flags.fetchedAt;
      record.flags.fetchedAt = now;
      return [age];
    });
  return { refresh };
}

/** A sweep that began at this time and took an hour. */
function sweepOf(startedAt: number, turns: Partial<ReturnType<typeof nextTurns>> = {}): FinishedSweep {
  const state = beginSweep({ number: 1, previous: undefined, now: startedAt, fill: false });
  return { ...state, aged: { ...nobodyAged, to: startedAt, ...turns }, finishedAt: startedAt + hour };
}

it("members who are all too old at once are refreshed in turn, everybody in half of the greatest age", () => {
  const members = createMembers(200, begun - 300 * hour);
  let last = sweepOf(begun);
  const rounds: number[][] = [];
  for (let now = begun + hour; now <= begun + 4 * periodMs; now += hour) {
    const turns = nextTurns(last, { now, periodMs, scheduled: true });
    rounds.push(members.refresh(now, turns));
    last = sweepOf(now, turns);
  }
  const inPeriod = (place: number) => rounds.slice(place * 84, (place + 1) * 84).flat();
  expect([0, 1, 2, 3].map((place) => inPeriod(place).length)).toEqual([200, 0, 200, 0]);
  // On average 2.4 in each round.
  expect(Math.max(...rounds.map(({ length }) => length))).toBeLessThan(12);
  expect(Math.max(...inPeriod(2))).toBeLessThanOrEqual(extrasMaxAgeMs);
});

it("after weeks without a sweep, they are refreshed at twice the pace, and everybody in the same time", () => {
  const pausedUntil = begun + 500 * hour;
  const members = createMembers(200, begun);
  let last = sweepOf(begun);
  const rounds: number[][] = [];
  for (let now = pausedUntil; now < pausedUntil + periodMs; now += hour) {
    const turns = nextTurns(last, { now, periodMs, scheduled: true });
    rounds.push(members.refresh(now, turns));
    last = sweepOf(now, turns);
  }
  expect(rounds.flat()).toHaveLength(200);
  expect(Math.max(...rounds.map(({ length }) => length))).toBeLessThan(20);
  const quarter = rounds.slice(0, 21).flat().length;
  expect(quarter).toBeGreaterThan(70);
  expect(quarter).toBeLessThan(130);
});

it("sweeps that only operators start take all turns since the last one, whatever they last", () => {
  const unscheduled = { now: begun + 50 * hour, periodMs, scheduled: false };
  expect(nextTurns(sweepOf(begun), unscheduled)).toEqual({ from: begun, to: begun + 50 * hour });
  expect(nextTurns(sweepOf(begun), { ...unscheduled, scheduled: true })).toEqual({ from: begun, to: begun + 2 * hour });
});

it("a clock that stepped back, or a sweep of an older release, holds no turns back", () => {
  const options = { now: begun, periodMs, scheduled: true };
  expect(nextTurns(undefined, options)).toEqual({ from: begun, to: begun });
  expect(nextTurns(sweepOf(begun + 1_000 * hour), options)).toEqual({ from: begun, to: begun });
  expect(nextTurns(sweepOf(begun, { to: nobodyAged.to }), options)).toMatchObject({ from: begun - periodMs });
});
