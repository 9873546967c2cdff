import { fork } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { type ActionName, actionNames, faultNames } from "./schedule.ts";
import type { Order, Report } from "./worker.ts";

interface Options {
  seeds: number;
  from: number;
  seed?: number;
  workers: number;
  minutes: number;
  failures: number;
  resume: boolean;
  trace: boolean;
  only: ActionName[];
  shrink: boolean;
}

/** What a campaign has found so far. It is saved, so that an interrupted one can continue. */
interface Progress {
  from: number;
  seeds: number;
  /** All seeds below this one are done. */
  next: number;
  played: number;
  busyMs: number;
  roundTrips: number;
  faults: Record<string, { times: number; schedules: number }>;
  failures: Report[];
}

const progressFile = fileURLToPath(new URL("../../node_modules/.cache/kindling/faults.json", import.meta.url));

const whole = (text: string) => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
};

function actionsOf(text: string): ActionName[] {
  const names = text.split(",");
  const unknown = names.find((name) => !actionNames.some((known) => known === name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`There is no action ${unknown}: choose from ${actionNames.join(", ")}.`);
  return actionNames.filter((name) => names.includes(name));
}

const program = new Command("npm run test:faults --")
  .description("Plays random schedules of changes and faults against the service, over a simulated network and clock.")
  .option("--seeds <count>", "number of schedules", whole, 200)
  .option("--from <seed>", "first seed", whole, 1)
  .option("--seed <seed>", "play one seed only", whole)
  .option("--trace", "with --seed: print every round trip to Redis", false)
  .option("--only <actions>", "actions to choose from, comma-separated", actionsOf, [])
  .option("--no-shrink", "do not look for the steps that a failing schedule needs")
  .option("--workers <count>", "processes that play", whole, availableParallelism())
  .option("--minutes <count>", "stop after this time", whole, 24 * 60)
  .option("--failures <count>", "stop after as many failing schedules", whole, 5)
  .option("--resume", "continue the last campaign", false)
  .addHelpText("after", "\nExit codes: 0 if every promise held, 1 if one was broken.");

const options = program.parse().opts<Options>();
if (options.trace && options.seed !== undefined) await traceSeed(options.seed, options.only);
else process.exitCode = await runCampaign(options);

async function runCampaign({ workers, minutes, failures, only, shrink, ...rest }: Options): Promise<number> {
  const progress = begin(rest);
  const last = progress.from + progress.seeds;
  const deadline = performance.now() + minutes * 60_000;
  const started = performance.now();
  const playedBefore = progress.played;
  const done = new Set<number>();
  let nextSeed = progress.next;
  const isOver = () =>
    nextSeed >= last || progress.failures.length >= Math.max(1, failures) || performance.now() > deadline;

  const take = (report: Report) => {
    done.add(report.seed);
    while (done.delete(progress.next)) progress.next += 1;
    progress.played += 1;
    progress.busyMs += report.ms;
    progress.roundTrips += report.roundTrips;
    for (const [name, times = 0] of Object.entries(report.faults)) {
      const fault = progress.faults[name] ?? { times: 0, schedules: 0 };
      progress.faults[name] = { times: fault.times + times, schedules: fault.schedules + 1 };
    }
    if (report.violation !== undefined) {
      progress.failures.push(report);
      console.log(describeFailure(report));
    }
    if (progress.played % 100 === 0) {
      save(progress);
      const rate = (progress.played - playedBefore) / ((performance.now() - started) / 1000);
      console.log(`${progress.played} schedules played, ${rate.toFixed(1)}/s, ${progress.failures.length} failed`);
    }
  };
  const order = (): Order => {
    const seed = nextSeed++;
    return { seed, twice: seed % 25 === 0, only, mostShrinkRuns: shrink ? 80 : 0 };
  };

  const count = Math.max(1, Math.min(workers, last - nextSeed));
  await Promise.all(Array.from({ length: count }, () => runWorker(order, isOver, take)));
  save(progress);
  console.log(summarize(progress, (performance.now() - started) / 1000, progress.played - playedBefore));
  return progress.failures.length === 0 ? 0 : 1;
}

function runWorker(order: () => Order, isOver: () => boolean, take: (report: Report) => void): Promise<void> {
  const child = fork(fileURLToPath(new URL("worker.ts", import.meta.url)), { execArgv: ["--import", "tsx"] });
  return new Promise((resolve, reject) => {
    let current: Order | undefined;
    child.on("message", (message: "ready" | Report) => {
      if (message !== "ready") take(message);
      if (isOver()) {
        current = undefined;
        child.disconnect();
        return;
      }
      current = order();
      child.send(current);
    });
    child.once("error", reject);
    child.once("exit", (code) => {
      if (current === undefined) resolve();
      else reject(new Error(`The process that played seed ${current.seed} ended with code ${code}.`));
    });
  });
}

async function traceSeed(seed: number, only: readonly ActionName[]): Promise<void> {
  const { createPlayer } = await import("./play.ts");
  const { scheduleOf } = await import("./schedule.ts");
  const player = await createPlayer();
  const { violation, trace } = await player.play(seed, scheduleOf(seed, only), {
    onLine: (line) => console.log(line),
  });
  console.log(violation === undefined ? "Every promise held." : `Broken: ${violation.promise}. ${violation.detail}`);
  console.log(`Trace: ${trace}`);
  await player.close();
  process.exit(violation === undefined ? 0 : 1);
}

function begin({ resume, seed, seeds, from }: Pick<Options, "resume" | "seed" | "seeds" | "from">): Progress {
  if (resume) {
    try {
      return JSON.parse(readFileSync(progressFile, "utf8")) as Progress;
    } catch {
      console.log("There is no campaign to resume: a new one begins.");
    }
  }
  const first = seed ?? from;
  const count = seed === undefined ? seeds : 1;
  return { from: first, seeds: count, next: first, played: 0, busyMs: 0, roundTrips: 0, faults: {}, failures: [] };
}

function save(progress: Progress): void {
  // Nobody resumes a short one, which must not replace the place of a long one.
  if (progress.seeds < 100) return;
  mkdirSync(dirname(progressFile), { recursive: true });
  writeFileSync(progressFile, JSON.stringify(progress));
}

function describeFailure({ seed, violation, minimized, steps }: Report): string {
  const lines = [
    "",
    `✗ Seed ${seed} broke a promise: ${violation?.promise}`,
    `  ${violation?.detail}`,
    `  To replay it: npm run test:faults -- --seed ${seed} --trace`,
  ];
  if (minimized !== undefined) {
    lines.push(`  ${minimized.length} of its ${steps} steps break it too:`);
    for (const step of minimized) lines.push(`    ${JSON.stringify(step)}`);
  }
  return lines.join("\n");
}

function summarize(progress: Progress, seconds: number, played: number): string {
  const counted = [...faultNames].sort().map((name) => {
    const { times = 0, schedules = 0 } = progress.faults[name] ?? {};
    return `  ${name.padEnd(18)} ${String(times).padStart(7)} times in ${String(schedules).padStart(6)} schedules`;
  });
  return [
    "",
    `Schedules: ${progress.played} (seeds ${progress.from} to ${progress.next - 1})`,
    `Speed:     ${(played / seconds).toFixed(1)} schedules/s, ${(progress.busyMs / Math.max(1, progress.played)).toFixed(0)} ms each`,
    `Redis:     ${progress.roundTrips} round trips`,
    `Faults:    ${faultNames.length} kinds`,
    ...counted,
    `Failures:  ${progress.failures.length}`,
  ].join("\n");
}
