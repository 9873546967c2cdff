import { defineFlags, permission, property } from "kindling";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createLog } from "../src/log.ts";
import { createFlows } from "../src/service/create-flows.ts";
import { openStore, type Store } from "../src/store.ts";
import { walkBoundMs } from "../src/sweep/pace.ts";
import { beginSweep, type SweepState } from "../src/sweep/sweep-state.ts";
import { type WalkKind, walkKinds, walkWords } from "../src/sweep/walk-log.ts";
import type { WalksState } from "../src/sweep/walks.ts";
import type { Benchmark, Outcome } from "./support/benchmark.ts";
import { benchConfig } from "./support/config.ts";
import { createListings, type Listings, type Tenant } from "./support/listings.ts";

const perMinute = 1_200;
const share = 0.1;
/** Bulk work leaves a quarter of the budget to webhooks. */
const bulkPerMinute = 0.75 * perMinute;
const million = 1_000_000;

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
      rows.push(await withStore((store) => walk(store, { ...catalogue, users, organizations: each })));
    }
    const fills: FillRow[] = [];
    for (const each of quick ? [5_000, 10_000] : [50_000, 100_000]) {
      const tenant = { ...catalogue, users: each, organizations: quick ? 20 : 1_000 };
      say(`filling with ${each.toLocaleString("en")} users …`);
      fills.push(await withStore((store) => fill(store, tenant)));
    }
    return outcomeOf(users, rows, fills);
  },
};

interface WalkRow {
  organizations: number;
  calls: Partial<Record<WalkKind, number>>;
  withinMs: Partial<Record<WalkKind, number>>;
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
  benchConfig({ domain: "https://listings.kinde.com", redisUrl, env: { KINDLING_INDEX_LAG: "0s" } });

function flowsOver(store: Store, { api }: Pick<Listings, "api">) {
  return createFlows({ config: configFor("redis://unused"), world, store, kinde: api, definitions });
}

/**
 * Runs the walks side by side, as a worker does, on a clock that each call moves on by its share of the budget, until each
 * kind has been completed twice. Comparing records takes no call and is left out.
 */
async function walk(store: Store, tenant: Tenant): Promise<WalkRow> {
  let now = Date.now();
  const clock = async () => now;
  const scanIds = async () => ({ cursor: "0", userIds: [] });
  const simulated = { ...store, ledger: { ...store.ledger, clock }, records: { ...store.records, scanIds } };
  const { walks } = flowsOver(simulated, createListings(tenant));
  const begun = beginSweep({ number: 1, previous: undefined, now, fill: false });
  await store.sweeps.finish({ ...begun, users: tenant.users }, now);
  const call = { priority: "bulk", signal: new AbortController().signal } as const;
  const rounds = new Map<WalkKind, number>();
  const kinds = ["roles", "permissions", "otherPermissions"] as const;
  let state: WalksState = { walks: {}, turn: 0 };
  while (kinds.some((kind) => (rounds.get(kind) ?? 0) < (kind === "otherPermissions" ? 1 : 2))) {
    state = await walks.beginDue(state);
    const step = await walks.step(state, call);
    // Nothing is due: the next tick comes half a minute later.
    now += step === undefined ? 30_000 : (step.calls * 60_000) / (share * perMinute);
    if (step?.finished) rounds.set(step.finished.kind, (rounds.get(step.finished.kind) ?? 0) + 1);
    if (step !== undefined) ({ state } = step);
  }
  const histories = await store.walkLog.read();
  const row: WalkRow = { organizations: tenant.organizations, calls: {}, withinMs: {} };
  for (const kind of walkKinds) {
    const last = histories[kind]?.last;
    if (!last) continue;
    row.calls[kind] = last.calls;
    row.withinMs[kind] = walkBoundMs(last);
  }
  return row;
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

function outcomeOf(users: number, rows: readonly WalkRow[], fills: readonly FillRow[]): Outcome {
  const minutes = (ms: number | undefined) => (ms ?? Number.NaN) / 60_000;
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
          ...walkKinds.slice(0, 3).flatMap((kind) => [`${walkWords[kind]}: calls`, "shown within, minutes"]),
        ],
        rows: rows.map(({ organizations, calls, withinMs }) => [
          `${organizations.toLocaleString("en")} organizations`,
          ...walkKinds.slice(0, 3).flatMap((kind) => [calls[kind] ?? Number.NaN, minutes(withinMs[kind])]),
        ]),
      },
      {
        columns: ["first fill", "calls", "minutes"],
        rows: [...fills.map(filled), ["1,000,000 users (scaled)", atMillion, atMillion / bulkPerMinute]],
      },
    ],
    comparisons: [
      {
        what: "first fill of a million users, scaled",
        value: atMillion / bulkPerMinute / 60,
        unit: "h",
        goal: { atMost: 3 },
      },
    ],
    notes: [
      `Walks take ${share * perMinute} calls a minute together. Flags read one permission of five.`,
      "The times follow from counted calls on a simulated clock: Kinde answers at once.",
      `A fill takes ${bulkPerMinute} calls a minute. Two sizes in the same organizations show what a further user takes; plans are not included.`,
    ],
  };
}
