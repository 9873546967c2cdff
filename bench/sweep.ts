import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { compile } from "../test/support/compile.ts";
import type { Benchmark, Outcome } from "./support/benchmark.ts";
import { startChild } from "./support/child.ts";
import { info } from "./support/redis.ts";

/** What one walk over all users came to. */
export interface WalkFigures {
  users: number;
  filled: number;
  /** Users it would have refreshed. */
  refreshes: number;
  calls: number;
  seconds: number;
  /** Of the walking process, all threads. */
  cpuSeconds: number;
  /** Peak memory of the process so far. */
  peakMb: number;
}

interface Figures {
  backfill: WalkFigures;
  sweep: WalkFigures;
  bytesPerUser: number;
}

export const sweep: Benchmark = {
  title:
    "sweep and backfill: all users of Kinde, 500 a call (the emulator answers; Redis and it have processes of their own)",
  async run({ quick, say }) {
    const [few, many] = quick ? [5_000, 20_000] : [100_000, 1_000_000];
    const small = await walkOver(few, say);
    const large = await walkOver(many, say);
    return outcomeOf(small, large);
  },
};

async function walkOver(users: number, say: (line: string) => void): Promise<Figures> {
  const embedded = await startEmbeddedRedis();
  const redis = new Redis(embedded.url);
  const emulator = await startChild("emulator", { BENCH_USERS: String(users) });
  try {
    const before = await info(redis, "used_memory");
    const env = { BENCH_DOMAIN: `http://127.0.0.1:${emulator.port}`, BENCH_REDIS: embedded.url };
    const walks = await runSweeper(env);
    say(
      `${users.toLocaleString("en")} users: backfill ${walks.backfill.seconds.toFixed(0)} s, sweep ${walks.sweep.seconds.toFixed(0)} s`,
    );
    return { ...walks, bytesPerUser: ((await info(redis, "used_memory")) - before) / users };
  } finally {
    await emulator.close();
    redis.disconnect();
    await embedded.close();
  }
}

async function runSweeper(env: Record<string, string>): Promise<Pick<Figures, "backfill" | "sweep">> {
  const file = await compile(fileURLToPath(new URL("servers/sweeper.ts", import.meta.url)), "kindling-bench");
  const child = fork(file, {
    env: { ...process.env, ...env },
    execArgv: process.env.BENCH_NODE_ARGS?.split(" ") ?? [],
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`The sweeper ended (${code}).`);
  });
  const [figures] = await Promise.race([once(child, "message"), ended]);
  ended.catch(() => undefined);
  return figures as Pick<Figures, "backfill" | "sweep">;
}

function outcomeOf(small: Figures, large: Figures): Outcome {
  const row = (name: string, { users, calls, refreshes, seconds, cpuSeconds, peakMb }: WalkFigures) => [
    `${name}, ${users.toLocaleString("en")} users`,
    users / seconds,
    users / cpuSeconds,
    calls,
    refreshes,
    peakMb,
  ];
  const { backfill, sweep } = large;
  return {
    tables: [
      {
        columns: ["", "users/s", "users/s of CPU", "calls", "to refresh", "peak MB"],
        rows: [
          row("backfill", small.backfill),
          row("sweep", small.sweep),
          row("backfill", backfill),
          row("sweep", sweep),
        ],
      },
    ],
    comparisons: [
      {
        what: "compared a second of one core",
        value: sweep.users / sweep.cpuSeconds,
        unit: "users",
        goal: { atLeast: 20_000 },
      },
      {
        what: "calls beyond one for 500 users",
        value: sweep.calls - Math.ceil(sweep.users / 500),
        unit: "calls",
        goal: { atMost: 1 },
      },
      { what: "refreshes when nothing changed", value: sweep.refreshes, unit: "users", goal: { atMost: 0 } },
      {
        what: "peak memory against that of the small store",
        value: sweep.peakMb / small.sweep.peakMb,
        unit: "times",
        goal: { atMost: 1.25 },
      },
    ],
    notes: [
      `Redis holds ${Math.round(large.bytesPerUser).toLocaleString("en")} bytes a user after the backfill, the sweeps' filters included.`,
      "A page more than users/500 where the last one is full: only a shorter page tells that it was the last.",
    ],
  };
}
