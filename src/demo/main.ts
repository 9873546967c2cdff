#!/usr/bin/env node
import { runKindling } from "../cli/run-kindling.ts";
import { createProcessTerminal, endProcess } from "../cli/terminal.ts";
import { addDemo } from "./command.ts";

const args = process.argv.slice(2);
const command = args[0] === "demo" ? args : ["demo", ...args];
await endProcess(process, await runKindling(command, createProcessTerminal(process), [addDemo]));
