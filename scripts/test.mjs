// npm test: types, lint, architecture and docs at once, then all tests if those pass. Arguments are passed to vitest.
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
  const checks = [
    { title: "types", tool: "tsc", args: ["--noEmit"] },
    { title: "lint", tool: "biome", args: ["ci", "."] },
    { title: "architecture", tool: "depcruise", args: ["src", "workers", "packages"] },
    { title: "docs", tool: "vitepress", args: ["build", "docs"] },
  ];
  console.log(`▸ ${checks.map(({ title, tool, args }) => `${title}: ${tool} ${args.join(" ")}`).join("\n▸ ")}`);
  const codes = await Promise.all(checks.map((check) => runStep(check, "pipe")));
  const failed = codes.find((code) => code !== 0);
  if (failed !== undefined) return failed;
  const args = ["run", ...vitestArgs];
  console.log(`\n▸ tests: vitest ${args.join(" ")}`);
  const unsaid = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const code = await runStep({ title: "tests", tool: "vitest", args: [...args, ...unsaid] }, "inherit");
  conclude(readReport(report), code, vitestArgs);
  return code;
}

/** Says how the step ended. With `pipe` its output follows in one piece, as others run beside it. */
async function runStep({ title, tool, args }, stdio) {
  const started = performance.now();
  const { code, output } = await run(tool, args, stdio);
  console.log(`${output}${code === 0 ? "✓" : "✗"} ${title} ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return code;
}

function conclude(report, code, vitestArgs) {
  // With -t, whatever does not match is skipped on purpose.
  if (vitestArgs.length === 0) for (const name of skippedTests(report)) console.log(`skipped: ${name}`);
  console.log(countTests(report, code));
}

function run(tool, args, stdio) {
  const child = spawn(process.execPath, [join(root, "node_modules", ".bin", tool), ...args], {
    cwd: root,
    stdio: ["inherit", stdio, stdio],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  // The terminal sends Ctrl-C to the child too; here it must only not end the wait for it.
  const hear = (signal) => signal === "SIGINT" || child.kill(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, hear);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      for (const name of signals) process.off(name, hear);
      resolve({ code: code ?? 128 + constants.signals[signal], output });
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
