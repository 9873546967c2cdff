import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import { installState } from "./install-state.mjs";

/**
 * Runs `npm ci` when node_modules is missing or not what package-lock.json asks for; else does and says nothing. Ends the
 * process when that fails. Everything goes to standard error, which leaves standard output to the command that follows.
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
      ? `npm ci was ended by ${signal}.`
      : `npm ci failed${error ? `: ${error.message}` : ""}. See its lines above.`,
  );
  process.exit(signal ? 128 + constants.signals[signal] : status || 1);
}

function npmCi(root) {
  // Settings of the outer `npm run` come along as environment: a `--silent`, `--omit=dev` or NODE_ENV=production meant
  // for the command must not leave half an install, or a silent failure.
  const args = ["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: root, stdio: ["ignore", 2, 2] };
  const cli = process.env.npm_execpath;
  // Another package manager may stand in npm_execpath; only npm knows `ci` and the lockfile.
  return cli?.endsWith("npm-cli.js")
    ? spawnSync(process.execPath, [cli, ...args], options)
    : spawnSync("npm", args, options);
}
