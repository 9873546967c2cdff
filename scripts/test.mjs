// npm test: types, lint, architecture, docs and all tests; stops at the first failure. Arguments are passed to vitest.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkNode } from "./check-node.mjs";
import { countTests, skippedTests } from "./count-tests.mjs";
import { ensureInstall } from "./ensure-install.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

checkNode();
ensureInstall(root);
const folder = mkdtempSync(join(tmpdir(), "kindling-test-"));
process.exitCode = await runAll(join(folder, "report.json"), process.argv.slice(2));
rmSync(folder, { recursive: true, force: true });

async function runAll(report, vitestArgs) {
  const steps = [
    { title: "types", tool: "tsc", args: ["--noEmit"] },
    { title: "lint", tool: "biome", args: ["ci", "."] },
    { title: "architecture", tool: "depcruise", args: ["src", "workers", "packages"] },
    { title: "docs", tool: "vitepress", args: ["build", "docs"] },
    {
      title: "tests",
      tool: "vitest",
      args: ["run", ...vitestArgs],
      unsaid: ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
    },
  ];
  for (const { title, tool, args, unsaid = [] } of steps) {
    console.log(`\n▸ ${title}: ${tool} ${args.join(" ")}`);
    const started = performance.now();
    const code = await run(tool, [...args, ...unsaid]);
    console.log(`${code === 0 ? "✓" : "✗"} ${title} ${((performance.now() - started) / 1000).toFixed(1)} s`);
    if (tool === "vitest") conclude(readReport(report), code, vitestArgs);
    if (code !== 0) return code;
  }
  return 0;
}

function conclude(report, code, vitestArgs) {
  // With -t, whatever does not match is skipped on purpose.
  if (vitestArgs.length === 0) for (const name of skippedTests(report)) console.log(`skipped: ${name}`);
  console.log(countTests(report, code));
}

function run(tool, args) {
  const child = spawn(process.execPath, [join(root, "node_modules", ".bin", tool), ...args], {
    cwd: root,
    stdio: "inherit",
  });
  // The terminal sends Ctrl-C to the child too; here it must only not end the wait for it.
  const hear = (signal) => signal === "SIGINT" || child.kill(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, hear);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      for (const name of signals) process.off(name, hear);
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}
