import { CommanderError } from "commander";
import { type AddCommand, createProgram } from "./create-program.ts";
import { type ExitCode, exitCodes, explainError } from "./exit-codes.ts";
import { note } from "./output.ts";
import { Interrupted, type Terminal } from "./terminal.ts";

/**
 * Runs one `kindling` command line.
 *
 * @param args arguments without the interpreter and the script
 * @param extra commands in addition to the published ones
 * @returns the exit code; errors are written to standard error without a stack trace
 */
export async function runKindling(
  args: readonly string[],
  terminal: Terminal,
  extra: readonly AddCommand[] = [],
): Promise<number> {
  let code: ExitCode = exitCodes.done;
  const exitWith = (found: ExitCode) => {
    code = found;
  };
  const program = createProgram(terminal, exitWith, extra);
  try {
    await program.parseAsync(args.length === 0 ? ["--help"] : args, { from: "user" });
    return code;
  } catch (error) {
    // Commander has already printed the problem. Help and version arrive here too, with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.input;
    if (error instanceof Interrupted) return error.exitCode;
    const { exitCode, lines } = explainError(error);
    for (const line of lines) note(terminal, `error: ${line}`);
    return exitCode;
  }
}
