import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { type Guard, guards, type TestProof } from "./guards.ts";
import { prove, runTests, type Verdict } from "./proofs.ts";

interface Options {
  only: string;
  by?: "schedules" | "tests";
  keepGoing: boolean;
  workers: number;
}

const whole = (text: string) => {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError("It must be a number from 1 to 99.");
  return Number(text);
};

const { only, by, keepGoing, workers } = new Command("npm run test:guards --")
  .description("Removes each guard in a copy of the sources, and checks that schedules or a test fail without it.")
  .option("--only <text>", "guards whose name or file contains this", "")
  .addOption(new Option("--by <proof>", "guards with this kind of proof").choices(["schedules", "tests"]))
  .option("--keep-going", "report every guard that nothing holds, not only the first", false)
  .option("--workers <count>", "guards that are removed at the same time", whole, availableParallelism())
  .addHelpText(
    "after",
    "\nExit codes: 0 if every guard is held, 1 if one is not, or a test fails although all are in place.",
  )
  .parse()
  .opts<Options>();

const chosen = guards.filter(
  ({ name, file, proof }) =>
    `${name} ${file}`.includes(only) && (by === undefined || (by === "tests") === "test" in proof),
);
const copies = Array.from({ length: Math.min(workers, chosen.length) }, copySources);
try {
  process.exitCode = (await testsPass(chosen)) && (await removeEach(chosen)) ? 0 : 1;
} finally {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true });
}

/** Returns whether every test that proves something exists and passes while the guards are in place. */
async function testsPass(list: readonly Guard[]): Promise<boolean> {
  const proofs = list.flatMap(({ proof }): TestProof[] => ("test" in proof ? [proof] : []));
  const [copy] = copies;
  if (proofs.length === 0 || copy === undefined) return true;
  const { tests, output } = await runTests(proofs, copy, { retries: 1 });
  let pass = true;
  for (const { test, name } of proofs) {
    const found = tests.filter(({ fullName }) => fullName.includes(name));
    const failed = found.find(({ status }) => status === "failed");
    if (failed === undefined && found.some(({ status }) => status === "passed")) continue;
    pass = false;
    const reason = failed?.failureMessages.at(-1) ?? "it did not run";
    console.log(`✗ ${test}: "${name}" does not pass although every guard is in place: ${reason}`);
  }
  if (!pass) console.log(output);
  return pass;
}

async function removeEach(list: readonly Guard[]): Promise<boolean> {
  const left = [...list];
  let unheld = 0;
  const work = async (copy: string) => {
    for (let guard = left.shift(); guard !== undefined; guard = left.shift()) {
      const started = performance.now();
      const { broken, words } = await proveWithout(guard, copy);
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(`${broken ? "✓" : "✗"} ${guard.name} (${guard.file}): ${words}, ${seconds} s`);
      if (broken) continue;
      unheld += 1;
      if (!keepGoing) left.length = 0;
    }
  };
  await Promise.all(copies.map(work));
  console.log(`${list.length} guards, ${unheld} that nothing holds`);
  return unheld === 0;
}

async function proveWithout({ file, find, replace, proof }: Guard, copy: string): Promise<Verdict> {
  const path = join(copy, file);
  const source = readFileSync(path, "utf8");
  if (source.split(find).length !== 2) throw new Error(`${file} must contain this exactly once: ${find}`);
  writeFileSync(
    path,
    source.replace(find, () => replace),
  );
  try {
    return await prove(proof, copy);
  } finally {
    writeFileSync(path, source);
  }
}

function copySources(): string {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "kindling-guards-"));
  const folders = ["src", "workers", "packages", "test", "bench", "scripts", "docs", "examples"];
  const files = ["kindling.flags.ts", "package.json", "package-lock.json", "tsconfig.json", "vitest.config.ts"];
  for (const name of [...folders, ...files, "README.md", "docker-compose.yml"]) {
    const isSource = (path: string) =>
      !/\/(node_modules|dist|results|\.next|\.svelte-kit)(\/|$)/.test(path.slice(root.length));
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: isSource });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}
