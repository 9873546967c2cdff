import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createEmulator } from "kinde-emulator";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { readFigures } from "../src/status/read-status.ts";
import { waitUntilComplete } from "../test/support/wait-until-complete.ts";
import type { Benchmark, BenchOptions, Outcome } from "./support/benchmark.ts";
import { startDeployment } from "./support/deployment.ts";
import { drawBars } from "./support/picture.ts";
import { measureStaleness } from "./support/staleness.ts";
import { quantile } from "./support/statistics.ts";

interface Figures {
  users: number;
  times: readonly number[];
  /** What `kindling status` states, in milliseconds. */
  statedMs: number;
  callsPerMinute: number;
}

const perMinute = 1_200;
const editsPerSecond = 2;
/** Time of a call to Kinde. */
const latencyMs = 100;

export const freshness: Benchmark = {
  title: `freshness: properties edited in Kinde, which sends no webhook, until a GET shows them (default settings, ${latencyMs} ms a call)`,
  async run(options) {
    const sizes = options.quick ? [500, 2_000] : [1_000, 10_000, 50_000];
    // Side by side: they wait most of the time.
    const all = await Promise.all(sizes.map((users) => measure(users, options)));
    if (!options.quick) await draw(all);
    return outcomeOf(all);
  },
};

async function measure(users: number, { quick, say }: BenchOptions): Promise<Figures> {
  const embedded = await startEmbeddedRedis();
  const emulator = await createEmulator({ users });
  const { config, store, close } = await startDeployment({
    emulator,
    redisUrl: embedded.url,
    env: {
      KINDLING_FLAGS: fileURLToPath(new URL("support/flags.ts", import.meta.url)),
      KINDLING_PROFILE: "properties,organizations",
      KINDLING_SWEEP_INTERVAL: "15m",
      KINDLING_CALLS_PER_MINUTE: String(perMinute),
    },
  });
  const staleness = measureStaleness(store);
  try {
    await waitUntilComplete(store);
    emulator.faults.set({ kind: "latency", ms: latencyMs });
    const started = (await store.sweeps.last())?.mark.number ?? 0;
    while (!quick && (await store.sweeps.last())?.mark.number === started) await delay(250);
    emulator.stats.reset();
    const ids = [...emulator.kinde.userIds()];
    const began = performance.now();
    const lastsMs = quick ? 20_000 : 100_000;
    for (let count = 0; performance.now() - began < lastsMs; count += 1) {
      const userId = ids[(count * 7_919) % ids.length] ?? "";
      const region = `edit-${count}`;
      emulator.kinde.setProperties(userId, { compliance_region: region });
      staleness.changed({ kind: "edit", userId, shows: (flags) => flags?.region === region });
      await delay(1_000 / editsPerSecond);
    }
    const minutes = (performance.now() - began) / 60_000;
    const callsPerMinute = emulator.stats.total / minutes;
    while (staleness.open() > 0) await delay(100);
    const { bound } = (await readFigures(store, config, Date.now())).sweep;
    const times = staleness.times.get("edit") ?? [];
    say(
      `${users.toLocaleString("en")} users: the slowest of ${times.length} edits after ${Math.round(Math.max(...times) / 1000)} s`,
    );
    return { users, times, statedMs: bound?.withinMs ?? Number.NaN, callsPerMinute };
  } finally {
    await staleness.close();
    await close();
    await embedded.close();
  }
}

function outcomeOf(all: readonly Figures[]): Outcome {
  const seconds = (ms: number) => ms / 1_000;
  const last = all.at(-1);
  return {
    tables: [
      {
        columns: ["users", "edits", "p50 s", "p99 s", "max s", "stated s", "calls/min", "% of the budget"],
        rows: all.map(({ users, times, statedMs, callsPerMinute }) => [
          users.toLocaleString("en"),
          times.length,
          seconds(quantile(times, 0.5)),
          seconds(quantile(times, 0.99)),
          seconds(Math.max(...times)),
          seconds(statedMs),
          callsPerMinute,
          (callsPerMinute / perMinute) * 100,
        ]),
      },
    ],
    comparisons: [
      {
        what: `the slowest edit with ${last?.users.toLocaleString("en")} users`,
        value: seconds(Math.max(...(last?.times ?? []))),
        unit: "s",
        goal: { atMost: 60 },
      },
      {
        what: "edits later than status states",
        value: all.reduce((sum, { times, statedMs }) => sum + times.filter((time) => time > statedMs).length, 0),
        unit: "edits",
        goal: { atMost: 0 },
      },
    ],
    notes: [`The calls include two for each edit: ${editsPerSecond * 120} a minute. The rest are the sweeps'.`],
  };
}

async function draw(all: readonly Figures[]): Promise<void> {
  await drawBars("freshness", {
    title: "From an edit in Kinde to readable, without a webhook, in seconds",
    series: ["half of the edits", "99 %", "the slowest", "stated by status"],
    bars: all.map(({ users, times, statedMs }) => {
      const marks = [quantile(times, 0.5), quantile(times, 0.99), Math.max(...times), statedMs].map((ms) => ms / 1_000);
      const parts = marks.map((mark, index) => Math.max(0, mark - (marks[index - 1] ?? 0)));
      return {
        label: `${users.toLocaleString("en")} users`,
        parts,
        note: marks.map((mark) => mark.toFixed(0)).join(" · "),
      };
    }),
  });
}
