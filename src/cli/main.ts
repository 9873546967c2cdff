#!/usr/bin/env node
import { existsSync } from "node:fs";
import { createProcessTerminal } from "./process-terminal.ts";
import { runKindling } from "./run-kindling.ts";

const args = process.argv.slice(2);
// The demo is development code: a checkout has it, an installed package does not.
const demo = new URL("../demo/main.ts", import.meta.url);
if (args[0] === "demo" && existsSync(demo)) await import(demo.href);
else process.exit(await runKindling(args, createProcessTerminal(process)));
