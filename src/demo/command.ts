import type { Command } from "commander";
import { exitCodesHelp } from "../cli/exit-codes.ts";
import type { Terminal } from "../cli/terminal.ts";
import { runDemo } from "./run-demo.ts";
import type { Step } from "./step.ts";
import { story } from "./story.ts";

/** What the demo needs of the command line. */
export interface DemoContext {
  terminal: Terminal;
  exitWith: (code: 0 | 1) => void;
  /** Default: the whole story. */
  steps?: readonly Step[];
}

const help = `
Everything runs in this process: Redis (a server of its own, or the one in
REDIS_URL, under a prefix of its own that is removed afterwards), an emulated
Kinde, Kindling's server and worker. Then it stays, to be played with.

Examples:
  kindling demo
  kindling demo --exit
  REDIS_URL=redis://127.0.0.1:6379 kindling demo

${exitCodesHelp("a step showed something else than it promises")}`;

/** `kindling demo`: the whole of Kindling, live, with nothing to set up. */
export function addDemo(program: Command, { terminal, exitWith, steps = story }: DemoContext): void {
  program
    .command("demo")
    .description("the whole of Kindling, live: no Kinde account, no Redis, no settings needed")
    .option("--exit", "leave after the story")
    .addHelpText("after", help)
    .action(async ({ exit = false }: { exit?: boolean }) => {
      const asPromised = await runDemo(terminal, { steps, exit });
      if (!asPromised) exitWith(1);
    });
}
