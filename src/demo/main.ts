#!/usr/bin/env node
import { createProcessTerminal } from "../cli/process-terminal.ts";
import { runKindling } from "../cli/run-kindling.ts";
import { addDemo } from "./command.ts";

const args = process.argv.slice(2);
const code = await runKindling(args[0] === "demo" ? args : ["demo", ...args], createProcessTerminal(process), [
  addDemo,
]);
process.exit(code);
