import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { type Guard, guards } from "./guards.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const { only, by, keepGoing } = new Command("npm run test:guards --")
  .description("Removes each guard in a copy of the sources, and checks that schedules or tests fail without it.")
  .option("--only <text>", "guards whose name or file contains this", "")
  .addOption(new Option("--by <proof>", "guards with this kind of proof").choices(["schedules", "tests"]))
  .option("--keep-going", "report every guard that nothing holds, not only the first", false)
  .parse()
  .opts<{ only: string; by?: "schedules" | "tests"; keepGoing: boolean }>();

const chosen = guards.filter(
  ({ name, file, proof }) =>
    `${name} ${file}`.includes(only) && (by === undefined || (by === "tests") === "test" in proof),
);
const copy = copySources();
try {
  process.exitCode = await removeEach(chosen);
} finally {
  rmSync(copy, { recursive: true, force: true });
}

async function removeEach(list: readonly Guard[]): Promise<number> {
  const tests = [...new Set(list.flatMap(({ proof }) => ("test" in proof ? [proof.test] : [])))];
  if (tests.length > 0) {
    const { code, output } = await run("vitest", ["run", "--retry=1", ...tests]);
    if (code !== 0) {
      console.log(`✗ Tests fail although every guard is in place.\n${output}`);
      return 1;
    }
  }
  let unheld = 0;
  for (const guard of list) {
    const started = performance.now();
    const failed = await failsWithout(guard);
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(
      `${failed ? "✓" : "✗"} ${guard.name} (${guard.file}): ${failed ?? "nothing fails without it"}, ${seconds} s`,
    );
    if (failed === undefined) unheld += 1;
    if (unheld > 0 && !keepGoing) break;
  }
  console.log(`${list.length} guards, ${unheld} that nothing holds`);
  return unheld === 0 ? 0 : 1;
}

/** Returns what failed, or `undefined`. */
async function failsWithout({ file, find, replace, proof }: Guard): Promise<string | undefined> {
  const path = join(copy, file);
  const source = readFileSync(path, "utf8");
  if (source.split(find).length !== 2) throw new Error(`${file} must contain this exactly once: ${find}`);
  writeFileSync(
    path,
    source.replace(find, () => replace),
  );
  try {
    if ("test" in proof) {
      const { output } = await run("vitest", ["run", "--retry=1", proof.test]);
      return /Tests\s+(\d+ failed)/.exec(output)?.[1];
    }
    const only = ["--only", proof.actions.join(",")];
    const { output } = await run("test/campaign/main.ts", [
      "--seeds",
      "100",
      "--failures",
      "2",
      "--no-shrink",
      ...only,
    ]);
    const seeds = [...output.matchAll(/Seed (\d+) broke a promise: (?!seeds replay)(.+)/g)];
    return seeds.length >= 2 ? seeds.map(([, seed, promise]) => `seed ${seed} (${promise})`).join(", ") : undefined;
  } finally {
    writeFileSync(path, source);
  }
}

function copySources(): string {
  const folder = mkdtempSync(join(tmpdir(), "kindling-guards-"));
  const copied = [
    "src",
    "workers",
    "packages",
    "test",
    "scripts",
    "kindling.flags.ts",
    "package.json",
    "package-lock.json",
  ];
  for (const name of [...copied, "tsconfig.json", "vitest.config.ts", "docs", "README.md", "docker-compose.yml"]) {
    const isSource = (path: string) => !/\/(node_modules|dist|\.next|\.svelte-kit)(\/|$)/.test(path.slice(root.length));
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: isSource });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

function run(what: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const isScript = what.endsWith(".ts");
  const command = isScript ? ["--import", "tsx", join(copy, what)] : [join(root, "node_modules", ".bin", what)];
  const child = spawn(process.execPath, [...command, ...args], {
    cwd: copy,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += String(chunk);
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve({ code, output }));
  });
}
