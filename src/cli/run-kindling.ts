import { CommanderError } from "commander";
import { type AddCommand, createProgram } from "./create-program.ts";
import { type ExitCode, exitCodes, explainError } from "./exit-codes.ts";
import { Interrupted, type Terminal } from "./terminal.ts";

/**
 * Runs one `kindling` command line.
 *
 * @param args without the interpreter and the script
 * @param extra commands beyond those that ship
 * @returns the exit code; whatever failed was said on standard error, in words and without a stack
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
    // Commander has said already what is wrong with the arguments; help and version come here too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.input;
    if (error instanceof Interrupted) return error.exitCode;
    const { exitCode, lines } = explainError(error);
    terminal.stderr.write(lines.map((line) => `error: ${line}\n`).join(""));
    return exitCode;
  }
}
