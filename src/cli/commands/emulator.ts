import type { Command } from "commander";
import { ConfigurationError } from "../../errors.ts";
import type { CommandContext } from "../terminal.ts";

/** Adds `kindling emulator`, which runs the `kinde-emulator` package if it is installed. */
export function addEmulator(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("emulator")
    .description("run an emulated Kinde on localhost")
    .helpOption(false)
    .allowUnknownOption()
    .argument("[options...]", "see `kindling emulator --help`")
    .action(async (args: string[]) => {
      const { runEmulator } = await loadEmulator();
      const { stdout, stderr } = terminal;
      exitWith((await runEmulator(args, { stdout, stderr, signal: terminal.stopSignal() })) === 0 ? 0 : 2);
    });
}

async function loadEmulator() {
  try {
    return await import("kinde-emulator/cli");
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND")) throw cause;
    throw new ConfigurationError(["The emulator is not installed: run npm install --save-dev kinde-emulator."], {
      cause,
    });
  }
}
