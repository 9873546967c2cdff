import { Command } from "commander";
import { addBackfill } from "./commands/backfill.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEmulator } from "./commands/emulator.ts";
import { addErase } from "./commands/erase.ts";
import { addExport } from "./commands/export.ts";
import { addFailed } from "./commands/failed.ts";
import { addForgetToken } from "./commands/forget-token.ts";
import { addInspect } from "./commands/inspect.ts";
import { addReprocess } from "./commands/reprocess.ts";
import { addSchema } from "./commands/schema.ts";
import { addServices } from "./commands/services.ts";
import { addSet } from "./commands/set.ts";
import { addStatus } from "./commands/status.ts";
import { addSweep } from "./commands/sweep.ts";
import { addVerify } from "./commands/verify.ts";
import { addWebhook } from "./commands/webhook.ts";
import type { ExitCode } from "./exit-codes.ts";
import { note } from "./output.ts";
import type { CommandContext, Terminal } from "./terminal.ts";
import { readVersion } from "./version.ts";

/** Registers a command on the program. */
export type AddCommand = (program: Command, context: CommandContext) => void;

/**
 * Creates the `kindling` command line. It never exits the process: commands pass their exit code to `exitWith`, and
 * errors, including commander's, reject `parseAsync`.
 */
export function createProgram(
  terminal: Terminal,
  exitWith: (code: ExitCode) => void,
  extra: readonly AddCommand[] = [],
): Command {
  const program = new Command("kindling")
    .description("Keeps Kinde users' flags warm in Redis.")
    .version(readVersion())
    .exitOverride()
    // Names only: with their arguments, the list of commands does not fit 80 columns.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      // Commander puts its suggestions on a second line; scripts expect one line per problem.
      outputError: (text) => note(terminal, text.trim().replace(/\s*\n\s*/g, " ")),
    })
    .addHelpText(
      "after",
      "\nSettings are read from the environment and from .env in the working directory.\nRun `kindling <command> --help` for arguments, options, examples and exit codes.",
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
  addDoctor(program, context);
  addForgetToken(program, context);
  addExport(program, context);
  addErase(program, context);
  addSchema(program, context);
  addCompletion(program, context);
  addEmulator(program, context);
  for (const add of extra) add(program, context);
  return program;
}
