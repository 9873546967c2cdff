import { afterEach, describe, expect, it } from "vitest";
import { createLog, type Log } from "../../src/log.ts";
import { longestPauseMs } from "../../src/sweep/find-unlisted.ts";
import { runSweep } from "../support/run-sweep.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
/** How many results of each search answer reach Kindling. */
let shorten: (results: unknown[], search: number) => unknown[];
let searches: number;
const warnings: object[] = [];

afterEach(() => stack.close());

async function start(users: number) {
  shorten = (results) => results;
  searches = 0;
  warnings.length = 0;
  const shortened: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (!String(input).includes("/search/users")) return answer;
    searches += 1;
    const { results, ...rest } = (await answer.json()) as { results: unknown[] };
    return Response.json({ ...rest, results: shorten(results, searches) });
  };
  const log = { ...createLog("silent"), warn: (fields: object) => warnings.push(fields) } as Log;
  stack = await startStack({
    env: { KINDLING_INDEX_LAG: "0s", KINDLING_SWEEP_PAGE_SIZE: "10" },
    world: { fetch: shortened },
    log,
  });
  return stack.emulator.kinde.importUsers(Array.from({ length: users }, () => ({}))).map(({ id }) => id);
}

const fetches = () => stack.emulator.stats.calls["GET /api/v1/user"] ?? 0;

describe("a sweep whose search answers with short pages", () => {
  it("lists everybody, from the last user of each page", async () => {
    await start(45);
    shorten = (results, search) => results.slice(0, search % 3 === 0 ? 1 : 7);
    expect(await runSweep(stack)).toMatchObject({ users: 45, verified: true });
  });

  it("does not take an empty page for the end of a listing that fills, unless it comes twice", async () => {
    const ids = await start(45);
    shorten = (results, search) => (search === 3 ? [] : results);
    expect(await runSweep(stack)).toMatchObject({ users: 45, filled: 45, verified: true });
    expect((await stack.store.records.tickets(ids)).every((ticket) => ticket > 0)).toBe(true);
  });

  it("fetches nobody for being unlisted if far too few users are listed, and warns", async () => {
    const ids = await start(60);
    await runSweep(stack);
    shorten = (results, search) => (search % 4 === 0 ? [] : results);
    stack.emulator.stats.reset();
    for (let round = 0; round < 3; round += 1) {
      const { users, previous } = await runSweep(stack);
      expect(previous).not.toBeNull();
      expect(users).toBeLessThan(40);
    }
    expect(await stack.store.sweeps.last()).toMatchObject({ unlisted: 0, heldBack: expect.any(Number) });
    expect((await stack.store.sweeps.last())?.heldBack).toBeGreaterThan(20);
    expect(fetches()).toBe(0);
    expect(warnings).toContainEqual(expect.objectContaining({ heldBack: expect.any(Number), recorded: 60 }));
    const { records } = stack.store;
    expect((await records.readMany(ids)).every(({ flags }) => flags?.status === "present")).toBe(true);
  }, 60_000);

  it("scans the records again when the pause after the last scan is over, and keeps what that one found until then", async () => {
    await start(60);
    await runSweep(stack);
    shorten = (results, search) => (search % 4 === 0 ? [] : results);
    for (let round = 0; round < 2; round += 1) await runSweep(stack);
    const { sweeps } = stack.store;
    const scanned = await runSweep(stack);
    expect(scanned.heldBack).toBeGreaterThan(20);
    shorten = (results) => results;
    await sweeps.finish({ ...scanned, scanMs: 60_000 }, scanned.finishedAt);
    const { heldBack, recorded, scannedAt } = scanned;
    const kept = await runSweep(stack);
    expect(kept).toMatchObject({ users: 60, heldBack, recorded, scannedAt, scanMs: 60_000 });
    await sweeps.finish({ ...kept, scannedAt: Date.now() - longestPauseMs }, kept.finishedAt);
    const next = await runSweep(stack);
    expect(next).toMatchObject({ users: 60, heldBack: 0, recorded: 60 });
    expect(next.scanMs).toBeLessThan(60_000);
  }, 60_000);

  it("concludes nothing from a filter that was lost", async () => {
    await start(15);
    await runSweep(stack);
    const { redis, keys, sweeps } = stack.store;
    const { mark } = (await sweeps.last()) ?? {};
    await redis.del(keys.ledgerPart(`sweep:seen:${mark?.number}`));
    shorten = () => [];
    stack.emulator.stats.reset();
    expect(await runSweep(stack)).toMatchObject({ users: 0, recorded: 0, unlisted: 0, heldBack: 0 });
    expect(fetches()).toBe(0);
  });
});
