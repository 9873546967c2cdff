import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { runSoak, type SoakOptions } from "./soak.ts";

const whole = (text: string) => {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError("It must be a whole number above zero.");
  return Number(text);
};

const options = new Command("npm run test:soak --")
  .description("Runs a server and two workers under load while faults strike, and checks that nothing is lost.")
  .option("--minutes <count>", "how long load and faults last", whole, 120)
  .option("--rate <events>", "events per second", whole, 100)
  .option("--users <count>", "users in Kinde", whole, 20_000)
  .option("--seed <seed>", "decides users, changes and faults", whole, 1)
  .addHelpText(
    "after",
    `
In runs of an hour and more, memory must be flat, and bench/pictures/soak.svg is drawn again.
Exit codes: 0 every promise was kept, 1 one was broken or the run was stopped.`,
  )
  .parse()
  .opts<Omit<SoakOptions, "folder" | "stop" | "say">>();

const started = performance.now();
const time = new Date().toISOString().replaceAll(":", "-");
const folder = fileURLToPath(new URL(`../../bench/results/soak-${time}/`, import.meta.url));
mkdirSync(folder, { recursive: true });
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());

const say = (line: string) => {
  console.log(`${((performance.now() - started) / 60_000).toFixed(1).padStart(6)} min  ${line}`);
};
process.exitCode = (await runSoak({ ...options, folder, stop: stop.signal, say })) ? 0 : 1;
