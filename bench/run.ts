import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { burst } from "./burst.ts";
import { cache } from "./cache.ts";
import { calls } from "./calls.ts";
import { day } from "./day.ts";
import { freshness } from "./freshness.ts";
import { httpRead } from "./http-read.ts";
import { ingest } from "./ingest.ts";
import { memory } from "./memory.ts";
import { read } from "./read.ts";
import { refresh } from "./refresh.ts";
import { streams } from "./streams.ts";
import { type Benchmark, isMet, type Outcome } from "./support/benchmark.ts";
import { render } from "./support/report.ts";
import { sweep } from "./sweep.ts";
import { walks } from "./walks.ts";

const benchmarks: Readonly<Record<string, Benchmark>> = {
  ingest,
  read,
  "http-read": httpRead,
  cache,
  streams,
  burst,
  refresh,
  calls,
  memory,
  sweep,
  walks,
  freshness,
  day,
};

const usage = `npm run bench -- [name …] [--quick] [--json]
  names: ${Object.keys(benchmarks).join(", ")} (default: all)
  --quick  short runs: to see that all works, not to quote
  --json   the result on standard output as JSON`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
});
const unknown = positionals.filter((name) => !Object.hasOwn(benchmarks, name));
if (unknown.length > 0) {
  console.error(`No benchmark is called ${unknown.join(", ")}.\n${usage}`);
  process.exit(2);
}

const chosen = Object.entries(benchmarks).filter(([name]) => positionals.length === 0 || positionals.includes(name));
const results: Record<string, Outcome & { met: boolean }> = {};
for (const [name, { title, run }] of chosen) {
  const outcome = await run({ quick: values.quick, say: (line) => console.error(`[${name}] ${line}`) });
  results[name] = { ...outcome, met: outcome.comparisons.every(isMet) };
  if (!values.json) console.log(render(title, outcome));
}

const report = {
  at: new Date().toISOString(),
  quick: values.quick,
  machine: { node: process.version, cpus: cpus().length, cpu: cpus()[0]?.model ?? "unknown" },
  results,
};
const folder = fileURLToPath(new URL("results/", import.meta.url));
await mkdir(folder, { recursive: true });
const file = `${folder}${report.at.replaceAll(":", "-")}.json`;
await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`);
if (values.json) console.log(JSON.stringify(report));
else console.error(`\nWritten to ${file}`);
