import { blankProfile } from "kindling/contract";
import { beforeEach, describe, expect, it } from "vitest";
import { createAbsences } from "../../src/redis/absences.ts";
import { createLedger } from "../../src/redis/ledger.ts";
import { createRecords } from "../../src/redis/records.ts";
import { countHeldStep } from "../../src/sweep/count-held.ts";
import { createListedUsers } from "../../src/sweep/listed-users.ts";
import { beginSweep, type SweepState } from "../../src/sweep/sweep-state.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const [one, two, three] = [testUser(1), testUser(2), testUser(3)];
const listedUsers = () => createListedUsers(context);
const ledger = () => createLedger({ redis: context.redis, keys: context.keys, name: "users", now: Date.now });
const absences = () => createAbsences({ ...context, now: Date.now, gapMs: 1_000 });
const records = () => createRecords({ ...context, tombstoneTtlMs: 60_000 });

/** A walk of two pages and three users. The first two have a record. */
async function walked(): Promise<SweepState> {
  const state = beginSweep({ number: 7, previous: undefined, now: 0, fill: true });
  await listedUsers().remember(state.mark, null, { ids: [one, two], next: two });
  await listedUsers().remember(state.mark, two, { ids: [three], next: null });
  for (const id of [one, two]) await hold(id);
  return { ...state, phase: "holding", users: 3 };
}

function hold(id: string) {
  const record = { flags: {}, status: "present", fetchedAt: 1, ticket: 1, schema: "s" } as const;
  return records().commit(record, blankProfile(id));
}

async function count(begun: SweepState): Promise<SweepState> {
  const options = { listed: listedUsers(), records: records(), ledger: ledger(), absences: absences() };
  for (let state = begun; ; ) {
    const step = await countHeldStep(options, state);
    if (step.over) return step.state;
    state = step.state;
  }
}

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

describe("counting the users that a walk listed", () => {
  it("finds everybody held: with a record, a tombstone, or a refresh that gave up", async () => {
    const state = await walked();
    await hold(three);
    expect(await count(state)).toMatchObject({ held: 3, verified: true });
    await records().bury(three, { flags: {}, status: "deleted", fetchedAt: 1, ticket: 2, schema: "s" });
    expect(await count(state)).toMatchObject({ held: 3, verified: true });
    await context.redis.del(context.keys.flags(three));
    await ledger().fail(three, { code: "x", message: "x", failedAt: 1, attempts: 1, final: true });
    expect(await count(state)).toMatchObject({ held: 3, verified: true });
  });

  it("needs no record of a user that Kinde's search lists and its user endpoint does not have", async () => {
    const state = await walked();
    await absences().noteUnknown(three, 5);
    expect(await count(state)).toMatchObject({ held: 3, verified: true });
    // Nor does such a user count twice, for another who is not held.
    await ledger().fail(three, { code: "x", message: "x", failedAt: 1, attempts: 1, final: true });
    await context.redis.del(context.keys.flags(two));
    expect(await count(state)).toMatchObject({ verified: false });
    await listedUsers().remember(state.mark, null, { ids: [one, two, three], next: null });
    expect(await count(state)).toMatchObject({ verified: false });
  });

  it("finds that a user is not held", async () => {
    expect(await count(await walked())).toMatchObject({ held: 2, verified: false });
  });

  it("proves nothing if a page is lost, or the walk listed more than the pages hold", async () => {
    const state = await walked();
    await hold(three);
    expect(await count({ ...state, users: 4 })).toMatchObject({ held: 3, verified: false });
    await listedUsers().forget(state.mark);
    await listedUsers().remember(state.mark, two, { ids: [three], next: null });
    expect(await count(state)).toMatchObject({ held: 0, verified: false });
  });
});
