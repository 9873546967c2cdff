#!/usr/bin/env node
import { existsSync } from "node:fs";
import { runKindling } from "./run-kindling.ts";
import { createProcessTerminal, endProcess } from "./terminal.ts";

const args = process.argv.slice(2);
// The demo is not published, so an installed package does not have it.
const demo = new URL("../demo/main.ts", import.meta.url);
if (args[0] === "demo" && existsSync(demo)) await import(demo.href);
else await endProcess(process, await runKindling(args, createProcessTerminal(process)));
