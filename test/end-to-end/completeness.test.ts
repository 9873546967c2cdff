import { afterEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { createSweepPace } from "../../src/sweep/pace.ts";
import { scheduleSweeps, scheduleWalks } from "../../src/sweep/schedule.ts";
import { noteSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { runSweep } from "../support/run-sweep.ts";
import { dropKeys, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

/** Starts a tenant of 60 users, listed in pages of 10. Every step of a sweep that runs here calls `onPage` afterwards. */
async function start(workers = true) {
  stack = await startStack({ workers, env: { KINDLING_SWEEP_PAGE_SIZE: "10", KINDLING_INDEX_LAG: "0s" } });
  return stack.emulator.kinde.importUsers(Array.from({ length: 60 }, () => ({}))).map(({ id }) => id);
}

async function sweepWith(onPage: (listed: number) => unknown) {
  const { config, world, store } = stack;
  const flows = createFlows({ config, world, store, definitions: await loadDefinitions(config.flagsFile) });
  return runSweep(stack, {
    async sweepStep(state, call) {
      const step = await flows.sweepStep(state, call);
      if (step.state.phase === "listing") await onPage(step.state.users);
      return step;
    },
  });
}

const since = () => stack.store.completeness.since();
const unheld = async (ids: readonly string[]) =>
  (await stack.store.records.tickets(ids)).filter((ticket) => ticket === 0).length;

/** Deletes both keys of these users, as a failover to a replica that never received them would. */
async function lose(ids: readonly string[]) {
  const { redis, keys } = stack.store;
  await redis.del(ids.flatMap((id) => [keys.flags(id), keys.profile(id)]));
}

describe("the completeness mark", () => {
  it("is set by a fill that holds everybody at its end", async () => {
    const ids = await start();
    expect(await sweepWith(() => {})).toMatchObject({ users: 60, filled: 60, held: 60, verified: true });
    expect(await unheld(ids)).toBe(0);
    expect(await since()).toBeDefined();
    // What the fill listed is deleted.
    expect(await stack.store.redis.keys(`*${stack.config.prefix}*sweep:listed*`)).toEqual([]);
  });

  it("stays when a process that died notes the same sweep again", async () => {
    await start();
    const { finishedAt, ...state } = await sweepWith(() => {});
    const marked = await since();
    await noteSweep(stack.store, state, finishedAt + 1);
    expect(await since()).toBe(marked);
  });

  it.each([
    ["some records", (ids: readonly string[]) => lose(ids.filter((_, index) => index % 7 === 0))],
    ["a single record", (ids: readonly string[]) => lose(ids.slice(0, 1))],
    ["everything", () => dropKeys(stack.config)],
  ])("is not set by a fill during which %s is lost, and is set by the next", async (_what, loss) => {
    const ids = await start();
    const sorted = [...ids].sort();
    const finished = await sweepWith((listed) => (listed === 40 ? loss(sorted) : undefined));
    expect(finished).toMatchObject({ users: 60, filled: 60, missing: 60, verified: false });
    expect(await unheld(ids)).toBeGreaterThan(0);
    expect(await since()).toBeUndefined();
    await sweepWith(() => {});
    expect(await unheld(ids)).toBe(0);
    expect(await since()).toBeDefined();
  });

  it("is not set for a moment if Redis is wiped after the count", async () => {
    await start();
    const { store } = stack;
    const [mark, forget] = [store.completeness.mark, store.listed.forget];
    const seen: unknown[] = [];
    store.completeness.mark = async (sweep, now) => {
      await dropKeys(stack.config);
      await mark(sweep, now);
    };
    store.listed.forget = async (sweep) => {
      seen.push(await since());
      return forget(sweep);
    };
    await sweepWith(() => {});
    expect([...seen, await since()]).toEqual([undefined, undefined]);
  });

  it("is removed if the ledger is wiped after the count, on a Redis of its own", async () => {
    await start();
    const { store } = stack;
    const mark = store.completeness.mark;
    store.completeness.mark = async (sweep, now) => {
      await store.redis.del(await store.redis.keys(`*${stack.config.prefix}*sweep:listed*`));
      await mark(sweep, now);
      expect(await since()).toBeDefined();
    };
    await sweepWith(() => {});
    expect(await since()).toBeUndefined();
  });

  it("is removed by a sweep that finds lost records, and earned again by the next", async () => {
    const ids = await start();
    await sweepWith(() => {});
    const first = await since();
    await lose(ids.slice(0, 5));
    expect(await sweepWith(() => {})).toMatchObject({ missing: 5, lost: 5, fill: false });
    expect(await since()).toBeUndefined();
    expect(await sweepWith(() => {})).toMatchObject({ missing: 0, fill: true, verified: true });
    expect(await since()).toBeGreaterThan(first ?? 0);
  });

  it("survives sign-ups and imports whose records a sweep creates", async () => {
    await start();
    await sweepWith(() => {});
    const first = await since();
    stack.emulator.kinde.importUsers([{}, {}, {}]);
    expect(await sweepWith(() => {})).toMatchObject({ missing: 3, lost: 0 });
    expect(await since()).toBe(first);
  });

  it("does not slow sweeps and walks down while it is missing, and no look puts off a sweep that is due", async () => {
    await start(false);
    await sweepWith(() => {});
    const { store } = stack;
    const { queues, completeness, sweeps, walkLog } = store;
    await completeness.clear();
    // A refresh that is retried again and again.
    await queues.bulk.add("sweep", { userId: "kp_bad" }, { delay: 3_600_000 });
    const pace = createSweepPace({ ...store, own: { intervalMs: 900_000, share: 0.1 }, onOther: () => {} });
    const look = (now: number) => scheduleSweeps({ ...store, pace, now: () => now });
    const { startedAt } = (await sweeps.last()) ?? { startedAt: Number.NaN };
    const ticks = async () => (await queues.sweep.getDelayed()).map(({ name, data }) => [name, data.dueAt]);
    await look(startedAt + 5_000);
    expect(await ticks()).toEqual([["tick", startedAt + 30_000]]);
    await look(startedAt + 30_000);
    await look(startedAt + 50_000);
    expect(await ticks()).toEqual([["tick", startedAt + 30_000]]);

    const waiting = async () => (await queues.sweep.getWaiting()).map(({ name }) => name);
    const lookForWalks = (own: { intervalMs: number; share: number }) =>
      scheduleWalks({ ...store, pace: createSweepPace({ ...store, own, onOther: () => {} }) });
    const walk = { calls: 1, compared: 1, different: 0, disputed: 0, finishedAt: Date.now() };
    await walkLog.finish("roles", { ...walk, startedAt: Date.now() - 50_000 });
    await lookForWalks({ intervalMs: 900_000, share: 0.1 });
    await walkLog.finish("plans", { ...walk, startedAt: Date.now() - 70_000 });
    await lookForWalks({ intervalMs: 900_000, share: 0 });
    expect(await waiting()).toEqual([]);
    await lookForWalks({ intervalMs: 900_000, share: 0.1 });
    await lookForWalks({ intervalMs: 900_000, share: 0.1 });
    expect(await waiting()).toEqual(["walks"]);
  });

  it("is removed at once when another Redis process takes over, and a sweep starts", async () => {
    await start(false);
    await sweepWith(() => {});
    const { store } = stack;
    const pace = createSweepPace({ ...store, own: { intervalMs: 3_600_000, share: 0.1 }, onOther: () => {} });
    const check = () => scheduleSweeps({ ...store, pace, now: () => Date.now() + 3_600_000 });
    await check();
    expect(await since()).toBeDefined();
    const mark = JSON.parse((await store.redis.get(store.keys.complete)) ?? "{}");
    await store.redis.set(store.keys.complete, JSON.stringify({ ...mark, runId: "before" }));
    await check();
    expect(await since()).toBeUndefined();
    await until(async () =>
      expect((await store.queues.sweep.getJobs(["waiting"])).map(({ name }) => name)).toContain("sweep"),
    );
  });
});

describe("a role or permission that is deleted while the store is filled", () => {
  it.each(["role", "permission"] as const)(
    "has its holders refreshed, whenever the records were searched: %s",
    async (kind) => {
      let onDetails: (() => Promise<unknown>) | undefined;
      stack = await startStack({
        workers: false,
        env: { KINDLING_INDEX_LAG: "0s" },
        world: {
          fetch: async (input, init) => {
            if (String(input).includes("/api/v1/users?")) await onDetails?.();
            return fetch(input, init);
          },
        },
      });
      const { store, config, world, emulator } = stack;
      const { kinde } = emulator;
      const { code } = kinde.createOrganization();
      const role = kinde.createRole("chief", ["admin:access"]);
      const permission = kinde.permissions().find(({ key }) => key === "admin:access");
      const holding = kind === "role" ? { roles: ["chief"] } : { permissions: ["admin:access"] };
      const holders = kinde.importUsers(Array.from({ length: 21 }, () => ({ organizations: [{ code, ...holding }] })));
      kinde.importUsers([{ organizations: [code] }]);
      const flows = createFlows({ config, world, store, definitions: await loadDefinitions(config.flagsFile) });
      const call = { priority: "bulk", signal: new AbortController().signal } as const;
      const number = await store.sweeps.nextNumber();
      let state = beginSweep({ number, previous: undefined, now: Date.now(), fill: true });
      await store.seen.begin(state.mark, null);
      while (typeof state.grants !== "object" || state.grants.gathered.phase !== "gathered")
        ({ state } = await flows.sweepStep(state, call));
      // What was gathered is read, and the records are not written yet.
      onDetails = async () => {
        onDetails = undefined;
        if (kind === "role") kinde.deleteRole("chief");
        else kinde.deletePermission("admin:access");
        const subject = `${kind}:${kind === "role" ? role.id : permission?.id}` as const;
        for (let at = (await flows.fanOut(subject, undefined, call)).next; at !== undefined; )
          at = (await flows.fanOut(subject, at, call)).next;
      };
      const outstanding = async () => (await store.ledger.page({ olderThanMs: 0, limit: 100 })).entries;
      const expected = holders.map(({ id }) => id).sort();
      const before = state;
      for (let step = 0; step < 2; step += 1) {
        // The second time, as after a crash of the first.
        ({ state } = await flows.sweepStep(before, call));
        expect((await outstanding()).map(({ member }) => member).sort()).toEqual(expected);
        expect(await flagsOfHolder(expected[0])).toMatchObject({ admin: true });
        for (const id of expected) await store.ledger.discard(id);
      }
      await flows.refreshUser(expected[0] ?? "", call);
      expect(await flagsOfHolder(expected[0])).toMatchObject({ admin: false });
    },
  );

  const flagsOfHolder = async (id = "") => (await stack.record(id))?.flags;
});
