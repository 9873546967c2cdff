import { createFetch } from "../../src/fetch.ts";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createLog } from "../../src/log.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { openKinde } from "../../src/service/open-kinde.ts";
import { openStore } from "../../src/store.ts";
import { countCalls } from "../../src/sweep/backfill.ts";
import { noteSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep, type SweepState } from "../../src/sweep/sweep-state.ts";
import { benchConfig } from "../support/config.ts";
import type { WalkFigures } from "../sweep.ts";
import { setting } from "./parent.ts";

/** Walks over all users twice, as `kindling backfill` and then a worker's sweep do, and tells what each walk came to. */
const config = benchConfig({
  domain: setting("BENCH_DOMAIN"),
  redisUrl: setting("BENCH_REDIS"),
  credentials: { clientId: "bench", clientSecret: "bench-secret" },
  env: {
    KINDLING_FLAGS: new URL("../support/flags.ts", import.meta.url).pathname,
    KINDLING_PROFILE: "account,properties,organizations",
    KINDLING_CALLS_PER_MINUTE: "1000000",
    KINDLING_INDEX_LAG: "0s",
  },
});
const world = { fetch: createFetch(), now: Date.now };
const store = await openStore(config, world, createLog(config.logLevel));
const counted = countCalls(openKinde(config, world, store));
const { sweepStep } = createFlows({
  config,
  world,
  store,
  definitions: await loadDefinitions(config.flagsFile),
  kinde: counted.api,
});
const call = { priority: "bulk", signal: new AbortController().signal } as const;

async function walk(fill: boolean): Promise<WalkFigures> {
  const [number, previous] = await Promise.all([store.sweeps.nextNumber(), store.sweeps.last()]);
  let state: SweepState = beginSweep({ number, previous, now: Date.now(), fill });
  let [calls, refreshes] = [0, 0];
  const cpu = process.cpuUsage();
  const begun = performance.now();
  while (state.phase === "listing") {
    const step = await sweepStep(state, call);
    state = step.state;
    calls += counted.take();
    refreshes += step.refresh.length;
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await noteSweep(store, state, Date.now());
  const peakMb = process.resourceUsage().maxRSS / 1024;
  return {
    users: state.users,
    filled: state.filled,
    refreshes,
    calls,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakMb,
  };
}

const backfill = await walk(true);
const sweep = await walk(false);
process.send?.({ backfill, sweep }, () => {
  store.close().finally(() => process.exit());
});
