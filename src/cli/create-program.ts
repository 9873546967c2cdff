import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addBackfill } from "./commands/backfill.ts";
import { addEmulator } from "./commands/emulator.ts";
import { addFailed } from "./commands/failed.ts";
import { addInspect } from "./commands/inspect.ts";
import { addReprocess } from "./commands/reprocess.ts";
import { addServices } from "./commands/services.ts";
import { addSet } from "./commands/set.ts";
import { addStatus } from "./commands/status.ts";
import { addSweep } from "./commands/sweep.ts";
import { addVerify } from "./commands/verify.ts";
import { addWebhook } from "./commands/webhook.ts";
import type { ExitCode } from "./exit-codes.ts";
import type { CommandContext, Terminal } from "./terminal.ts";

/** Adds a command to the program. */
export type AddCommand = (program: Command, context: CommandContext) => void;

/**
 * The `kindling` command line. It never ends the process: commands report their exit code to `exitWith`, and errors,
 * commander's own included, come out of `parseAsync`.
 */
export function createProgram(
  terminal: Terminal,
  exitWith: (code: ExitCode) => void,
  extra: readonly AddCommand[] = [],
): Command {
  const program = new Command("kindling")
    .description("Kinde users, warm in Redis.")
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      // One problem, one line: commander puts its suggestions on another.
      outputError: (text, write) => write(`${text.trim().replace(/\s*\n\s*/g, " ")}\n`),
    })
    .addHelpText(
      "after",
      "\nSettings come from the environment. `kindling <command> --help` has examples and exit codes.",
    );
  const context: CommandContext = { terminal, exitWith };
  addServices(program, context);
  addStatus(program, context);
  addInspect(program, context);
  addSet(program, context);
  addBackfill(program, context);
  addSweep(program, context);
  addReprocess(program, context);
  addFailed(program, context);
  addVerify(program, context);
  addWebhook(program, context);
  addEmulator(program, context);
  for (const add of extra) add(program, context);
  return program;
}

// One level deeper in the build than in the sources.
function version(): string {
  const root = import.meta.url.endsWith(".ts") ? "../.." : "../../..";
  const text = readFileSync(new URL(`${root}/package.json`, import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
