import { defineFlags, permission, property } from "kindling";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { gainPerMinute } from "../src/kinde/call-budget.ts";
import { createLog } from "../src/log.ts";
import { createFlows } from "../src/service/create-flows.ts";
import { openStore, type Store } from "../src/store.ts";
import { walkBoundMs } from "../src/sweep/pace.ts";
import { beginSweep, type SweepState } from "../src/sweep/sweep-state.ts";
import { type WalkKind, walkWords } from "../src/sweep/walk-log.ts";
import type { WalksState } from "../src/sweep/walks-state.ts";
import type { Benchmark, Outcome } from "./support/benchmark.ts";
import { benchConfig } from "./support/config.ts";
import { createListings, type Listings, type Tenant } from "./support/listings.ts";

const perMinute = 1_200;
const share = 0.1;
/** Bulk work waits while less than a quarter of the burst is left, and gets what the budget gains. */
const bulkPerMinute = gainPerMinute({ perMinute, atOnce: 20 });
const million = 1_000_000;
/** Delays by default. */
const delays = { watchMs: 30_000, settleMs: 30_000, fetchMs: 0 };
/** Time from one call of a walk to the next. */
const slotMs = 60_000 / (share * perMinute);

// One permission that a flag reads, and a function that reads none.
const definitions = defineFlags({
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: permission("permission:0"),
  suspended: (profile) => profile.isSuspended,
});

export const walks: Benchmark = {
  title:
    "walks: calls for comparing roles and permissions, and for the first fill (computed listings; calls are counted)",
  async run({ quick, say }) {
    const catalogue = { roles: 3, permissions: 5 };
    const organizations = quick ? [10, 200] : [10, 1_000, 20_000];
    const users = quick ? 10_000 : 100_000;
    const rows: WalkRow[] = [];
    for (const each of organizations) {
      say(`${each.toLocaleString("en")} organizations …`);
      const tenant = { ...catalogue, users, organizations: each };
      rows.push({ organizations: each, calls: await withStore((store) => countCalls(store, tenant)) });
    }
    const simulated = await withStore((store) => simulate(store, { ...catalogue, users, organizations: 10 }));
    const fills: FillRow[] = [];
    for (const each of quick ? [5_000, 10_000] : [50_000, 100_000]) {
      const tenant = { ...catalogue, users: each, organizations: quick ? 20 : 1_000 };
      say(`filling with ${each.toLocaleString("en")} users …`);
      fills.push(await withStore((store) => fill(store, tenant)));
    }
    return outcomeOf({ users, rows, fills, simulatedMs: simulated });
  },
};

type Calls = Record<"roles" | "permissions" | "otherPermissions", number>;

interface WalkRow {
  organizations: number;
  calls: Calls;
}

/** Turns of each kind, of five that three walks under way take. */
const turnsOfFive: Calls = { roles: 2, permissions: 2, otherPermissions: 1 };

function durationMs(calls: Calls, kind: keyof Calls): number {
  return (calls[kind] * slotMs * 5) / turnsOfFive[kind];
}

interface FillRow {
  tenant: Tenant;
  calls: Record<string, number>;
}

async function withStore<T>(run: (store: Store) => Promise<T>): Promise<T> {
  const embedded = await startEmbeddedRedis();
  const config = configFor(embedded.url);
  const store = await openStore(config, world, createLog(config.logLevel));
  try {
    return await run(store);
  } finally {
    await store.close();
    await embedded.close();
  }
}

const world = { fetch, now: Date.now };
const configFor = (redisUrl: string) =>
  benchConfig({
    domain: "https://listings.kinde.com",
    redisUrl,
    env: { KINDLING_INDEX_LAG: "0s", KINDLING_REDIS_TIMEOUT: "1m" },
  });

function flowsOver(store: Store, { api }: Pick<Listings, "api">) {
  return createFlows({ config: configFor("redis://unused"), world, store, kinde: api, definitions });
}

/** The walks over the store, on a clock that `call` moves on; comparing records takes no call and is left out. */
function walksOver(store: Store, tenant: Tenant) {
  let now = Date.now();
  const clock = async () => now;
  const scanIds = async () => ({ cursor: "0", userIds: [], runId: "", beganAgain: false });
  const simulated = { ...store, ledger: { ...store.ledger, clock }, records: { ...store.records, scanIds } };
  const { walks } = flowsOver(simulated, createListings(tenant));
  const options = { priority: "bulk", signal: new AbortController().signal } as const;
  return {
    begin: walks.beginDue,
    async step(state: WalksState) {
      const step = await walks.step(state, options);
      // Nothing is due: the next tick comes half a minute later.
      now += step === undefined ? 30_000 : step.calls * slotMs;
      return step;
    },
  };
}

/** Runs a walk of each kind alone, and counts its calls. */
async function countCalls(store: Store, tenant: Tenant): Promise<Calls> {
  const walks = walksOver(store, tenant);
  const runAlone = async (kind: WalkKind) => {
    const { [kind]: walk } = (await walks.begin({ walks: {}, turn: 0 })).walks;
    if (walk === undefined) throw new Error(`No walk over ${kind} is due.`);
    let state: WalksState = { walks: { [kind]: walk }, turn: 0 };
    for (;;) {
      const step = await walks.step(state);
      if (step === undefined) throw new Error(`The walk over ${kind} did not finish.`);
      if (step.finished) return step.finished.calls;
      ({ state } = step);
    }
  };
  // The first one finds out what functions read: the others are not due before.
  const roles = await runAlone("roles");
  return { roles, permissions: await runAlone("permissions"), otherPermissions: await runAlone("otherPermissions") };
}

/** Runs all walks side by side as a worker does. Returns the duration of one over the permissions that flags read. */
async function simulate(store: Store, tenant: Tenant): Promise<number> {
  const walks = walksOver(store, tenant);
  let state: WalksState = { walks: {}, turn: 0 };
  for (;;) {
    state = await walks.begin(state);
    const step = await walks.step(state);
    if (step?.finished?.kind === "permissions") return step.finished.finishedAt - step.finished.startedAt;
    if (step !== undefined) ({ state } = step);
  }
}

/** Fills an empty store, and counts the calls. */
async function fill(store: Store, tenant: Tenant): Promise<FillRow> {
  const listings = createListings(tenant);
  const { sweepStep } = flowsOver(store, listings);
  const call = { priority: "bulk", signal: new AbortController().signal } as const;
  let state: SweepState = beginSweep({ number: 1, previous: undefined, now: Date.now(), fill: true });
  await store.seen.begin(state.mark, null);
  for (let done = false; !done; ) {
    const step = await sweepStep(state, call);
    if (step.refresh.length > 0) throw new Error(`${step.refresh.length} users could not be filled from the listings.`);
    ({ state, done } = step);
  }
  if (state.filled !== tenant.users) throw new Error(`Only ${state.filled} of ${tenant.users} users were filled.`);
  return { tenant, calls: listings.take() };
}

interface Found {
  users: number;
  rows: readonly WalkRow[];
  fills: readonly FillRow[];
  /** Duration of a walk over permissions beside the others, in ten organizations. */
  simulatedMs: number;
}

function outcomeOf({ users, rows, fills, simulatedMs }: Found): Outcome {
  const kinds = ["roles", "permissions", "otherPermissions"] as const;
  const withinMinutes = (calls: Calls, kind: keyof Calls) =>
    walkBoundMs({ startedAt: 0, finishedAt: durationMs(calls, kind) }, delays) / 60_000;
  const [first] = rows as [WalkRow];
  const sum = (calls: Record<string, number>) => Object.values(calls).reduce((total, each) => total + each, 0);
  const [small, large] = fills as [FillRow, FillRow];
  const perUser = (sum(large.calls) - sum(small.calls)) / (large.tenant.users - small.tenant.users);
  const atMillion = sum(large.calls) + perUser * (million - large.tenant.users);
  const filled = ({ tenant, calls }: FillRow) => [
    `${tenant.users.toLocaleString("en")} users, ${tenant.organizations.toLocaleString("en")} organizations`,
    sum(calls),
    sum(calls) / bulkPerMinute,
  ];
  return {
    tables: [
      {
        columns: [
          `${users.toLocaleString("en")} users in`,
          ...kinds.flatMap((kind) => [`${walkWords[kind]}: calls`, "shown within, minutes"]),
        ],
        rows: rows.map(({ organizations, calls }) => [
          `${organizations.toLocaleString("en")} organizations`,
          ...kinds.flatMap((kind) => [calls[kind], withinMinutes(calls, kind)]),
        ]),
      },
      {
        columns: ["first fill", "calls", "minutes"],
        rows: [...fills.map(filled), ["1,000,000 users (scaled)", atMillion, atMillion / bulkPerMinute]],
      },
    ],
    comparisons: [
      {
        what: "a walk over permissions beside the others, simulated, against its calls and turns",
        value: simulatedMs / durationMs(first.calls, "permissions"),
        unit: "times",
        goal: { atMost: 1.05 },
      },
      {
        what: "first fill of a million users, scaled",
        value: atMillion / bulkPerMinute / 60,
        unit: "h",
        goal: { atMost: 3 },
      },
    ],
    notes: [
      `Walks take ${share * perMinute} calls a minute together. Flags read one permission of five.`,
      "The times follow from the counted calls and from the turns of three walks that are always under way. Kinde answers at once.",
      `A fill takes ${bulkPerMinute} calls a minute. Two sizes in the same organizations show what a further user takes; plans are not included.`,
    ],
  };
}
