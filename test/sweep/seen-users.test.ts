import { expect, it } from "vitest";
import type { Records } from "../../src/redis/records.ts";
import { countUnlistedStep } from "../../src/sweep/find-unlisted.ts";
import { createListedUsers } from "../../src/sweep/listed-users.ts";
import { createSeenUsers, type SweepMark, sweepsKept } from "../../src/sweep/seen-users.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const seenUsers = () => createSeenUsers({ ...context, ttlMs: 60_000 });
const mark = (number: number): SweepMark => ({ number, bits: 2 ** 20 });
const filters = () => context.redis.keys(`*${context.keys.prefix}*sweep:seen:*`);

it("abandoned sweeps leave a bounded number of filters, and nothing of what they listed", async () => {
  const seen = seenUsers();
  const listed = createListedUsers(context);
  const previous = mark(1);
  await seen.begin(previous, null);
  await seen.add(previous, [testUser(1)]);
  for (let number = 2; number <= 50; number += 1) {
    await seen.begin(mark(number), previous);
    await seen.add(mark(number), [testUser(1)]);
    await listed.remember(mark(number), null, { ids: [testUser(1)], next: null });
  }
  expect(await filters()).toHaveLength(sweepsKept + 1);
  expect(await context.redis.keys(`*${context.keys.prefix}*sweep:listed:*`)).toHaveLength(sweepsKept);
  // The previous sweep is compared with, however many were abandoned since.
  expect(await seen.missing(previous, [testUser(1), testUser(2)])).toEqual([testUser(2)]);
  expect(await seen.exists(mark(50))).toBe(true);
  for (const { number } of [previous, mark(47), mark(48), mark(49), mark(50)]) await seen.forget(mark(number));
  expect(await filters()).toEqual([]);
});

it("a filter that was lost stays lost, because it would be wrong about the users before", async () => {
  const seen = seenUsers();
  await seen.begin(mark(7), null);
  await seen.add(mark(7), [testUser(1)]);
  await context.redis.del(await filters());
  await seen.add(mark(7), [testUser(2)]);
  expect(await seen.exists(mark(7))).toBe(false);
});

it("a filter exists before anybody is listed, and expires", async () => {
  const seen = seenUsers();
  await seen.begin(mark(8), null);
  expect(await seen.exists(mark(8))).toBe(true);
  const [key = ""] = await filters();
  expect(await context.redis.pttl(key)).toBeGreaterThan(0);
});

it.each([
  [100, 20],
  [10_000, 100],
])("of %i users, %i missing from two sweeps are deletions, and one more is held back", async (users, most) => {
  // Another Redis process takes over once, and the scan begins again.
  let process = 1;
  const everybody = Array.from({ length: users }, (_, index) => testUser(index));
  const scanIds: Records["scanIds"] = async ({ cursor, runId: of }, size) => {
    const runId = String(process);
    const beganAgain = cursor !== "0" && of !== runId;
    const from = beganAgain ? 0 : Number(cursor);
    const next = from + size;
    return { userIds: everybody.slice(from, next), cursor: next < users ? String(next) : "0", runId, beganAgain };
  };
  const count = async (gone: number) => {
    process = 1;
    const missing = new Set(everybody.slice(-gone));
    const seen = {
      exists: async () => true,
      missing: async (_mark: SweepMark, userIds: readonly string[]) => userIds.filter((id) => missing.has(id)),
    };
    let state = { ...beginSweep({ number: 2, previous: undefined, now: 0, fill: false }), previous: mark(1) };
    for (;;) {
      const step = await countUnlistedStep({ records: { scanIds }, seen }, state);
      if (step.next !== undefined) return { next: step.next, heldBack: step.state.heldBack };
      state = { ...step.state, previous: mark(1) };
      if (state.recorded >= 5_000) process = 2;
    }
  };
  expect(await count(most)).toEqual({ next: "find", heldBack: 0 });
  expect(await count(most + 1)).toEqual({ next: "end", heldBack: most + 1 });
});
