import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import { installState } from "./install-state.mjs";

/**
 * Runs `npm ci` when node_modules is missing or does not match package-lock.json; otherwise does nothing, silently. Exits
 * the process when that fails. It writes to standard error: standard output belongs to the command that follows.
 */
export function ensureInstall(root) {
  const state = installState(root);
  if (state === "current") return;
  const why = state === "absent" ? "node_modules is missing" : "node_modules does not match package-lock.json";
  console.error(`${why}: running npm ci …`);
  const started = performance.now();
  const { status, signal, error } = npmCi(root);
  if (status === 0) {
    console.error(`Installed in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
    return;
  }
  console.error(
    signal
      ? `npm ci was stopped by ${signal}.`
      : `npm ci failed${error ? `: ${error.message}` : ""}. See its output above.`,
  );
  process.exit(signal ? 128 + constants.signals[signal] : status || 1);
}

function npmCi(root) {
  // The outer `npm run` passes its settings in the environment: a `--silent`, `--omit=dev` or NODE_ENV=production meant
  // for the command must not cause half an install, or a silent failure.
  const args = ["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: root, stdio: ["ignore", 2, 2] };
  const cli = process.env.npm_execpath;
  // npm_execpath can be another package manager, which knows neither `ci` nor the lockfile.
  return cli?.endsWith("npm-cli.js")
    ? spawnSync(process.execPath, [cli, ...args], options)
    : spawnSync("npm", args, options);
}
