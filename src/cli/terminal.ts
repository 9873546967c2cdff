import { KindlingError } from "kindling";
import type { World } from "../world.ts";
import type { ExitCode } from "./exit-codes.ts";

/** A stream a command writes to. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean };

/** What a command may touch of the process it runs in. Tests pass their own. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>;
  /** Answers only: what a script reads. */
  stdout: Output;
  /** Everything else: progress, notes, errors. */
  stderr: Output;
  world: World;
  /**
   * From the first call on, SIGINT and SIGTERM abort the signal, with {@link Interrupted} as its reason, instead of
   * ending the process; a second one ends it at once.
   */
  stopSignal(): AbortSignal;
}

/** Somebody pressed Ctrl-C, or the process was asked to end. */
export class Interrupted extends KindlingError<"interrupted"> {
  /** By convention 128 and the number of the signal. */
  readonly exitCode: number;

  constructor(name: "SIGINT" | "SIGTERM") {
    super("interrupted", `Stopped by ${name}.`);
    this.exitCode = name === "SIGINT" ? 130 : 143;
  }
}

/** What every command is given. */
export interface CommandContext {
  terminal: Terminal;
  /** Sets what the command line exits with; default 0. */
  exitWith: (code: ExitCode) => void;
}
