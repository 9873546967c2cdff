import type { Command } from "commander";
import { exitCodesHelp } from "../cli/exit-codes.ts";
import type { Terminal } from "../cli/terminal.ts";
import { runDemo, tour } from "./run-demo.ts";
import type { Step } from "./stage.ts";

/** Options for {@link addDemo}. */
export interface DemoContext {
  terminal: Terminal;
  exitWith: (code: 0 | 1) => void;
  /** Default: the whole tour. */
  steps?: readonly Step[];
}

const help = `
Runs everything in this process: Redis, an emulated Kinde, and Kindling's server
and worker. No Kinde account and no settings are needed. With REDIS_URL set, the
demo uses that Redis under a prefix of its own and removes its keys afterwards.

Examples:
  kindling demo
  kindling demo --exit
  REDIS_URL=redis://127.0.0.1:6379 kindling demo

${exitCodesHelp("a check of a step failed")}`;

/** Adds `kindling demo`. */
export function addDemo(program: Command, { terminal, exitWith, steps = tour }: DemoContext): void {
  program
    .command("demo")
    .description("a ten-second tour, then keeps running for you to explore")
    .option("--exit", "exit after the tour")
    .addHelpText("after", help)
    .action(async ({ exit = false }: { exit?: boolean }) => {
      const passed = await runDemo(terminal, { steps, exit });
      if (!passed) exitWith(1);
    });
}
