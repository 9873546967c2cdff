#!/usr/bin/env node
import { createProcessTerminal } from "./process-terminal.ts";
import { runKindling } from "./run-kindling.ts";

const code = await runKindling(process.argv.slice(2), createProcessTerminal(process));
if (code !== 0) process.exitCode = code;
// Not left to end by itself: after a shutdown that ran out of time something may still hold the process.
process.exit();
