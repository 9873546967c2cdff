#!/usr/bin/env node
import { runEmulator } from "./cli.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // A second signal exits immediately.
    if (stop.signal.aborted) process.exit(signal === "SIGINT" ? 130 : 143);
    stop.abort();
  });
}
process.exit(
  await runEmulator(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, signal: stop.signal }),
);
