import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { KindlingError } from "kindling";
import { errorCode } from "../errors.ts";
import { createFetch } from "../fetch.ts";
import type { World } from "../world.ts";
import { type ExitCode, exitCodes } from "./exit-codes.ts";
import { limitHeapGrowth } from "./limit-heap-growth.ts";

/** A stream that commands write to. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** The parts of the process that commands use, injectable for tests. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>;
  /** The `.env` file that gave some of `env`, if there is one. */
  envFile?: { path: string; names: readonly string[] };
  /** Input of commands that read a file named `-`. */
  stdin: NodeJS.ReadableStream;
  /** Results only, so that scripts can parse it. */
  stdout: Output;
  /** Progress, notes and errors. */
  stderr: Output;
  world: World;
  /**
   * Returns a signal that SIGINT and SIGTERM abort with {@link Interrupted} as the reason. From the first call on they no
   * longer end the process, except for a second one, which ends it immediately.
   */
  stopSignal(): AbortSignal;
  /** See {@link limitHeapGrowth}. */
  limitHeapGrowth(): void;
}

/** Passed to the function that registers a command. */
export interface CommandContext {
  terminal: Terminal;
  /** Sets the exit code of the command line. Default 0. */
  exitWith: (code: ExitCode) => void;
}

/** Reason of {@link Terminal.stopSignal} after SIGINT (Ctrl-C) or SIGTERM. */
export class Interrupted extends KindlingError<"interrupted"> {
  /** 128 plus the signal's number, by convention. */
  readonly exitCode: number;

  constructor(name: "SIGINT" | "SIGTERM") {
    super("interrupted", `Stopped by ${name}.`);
    this.exitCode = name === "SIGINT" ? 130 : 143;
  }
}

/** Creates a terminal from a Node.js process. */
export function createProcessTerminal(process: NodeJS.Process): Terminal {
  let stopping: AbortController | undefined;
  const listen = () => {
    const controller = new AbortController();
    const stop = (name: "SIGINT" | "SIGTERM") => () => {
      const reason = new Interrupted(name);
      if (controller.signal.aborted) process.exit(reason.exitCode);
      controller.abort(reason);
    };
    process.on("SIGINT", stop("SIGINT"));
    process.on("SIGTERM", stop("SIGTERM"));
    return controller;
  };
  process.stdout.on("error", (error) => endUnwritten(process, error));
  const file = readEnvFile(process.env);
  return {
    env: { ...file?.values, ...process.env },
    ...(file !== undefined && { envFile: { path: file.path, names: Object.keys(file.values) } }),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    world: { fetch: createFetch(), now: Date.now },
    stopSignal() {
      stopping ??= listen();
      return stopping.signal;
    },
    limitHeapGrowth,
  };
}

/** Ends the process with this code once its output is written, or with 1 if it cannot be. */
export async function endProcess(process: NodeJS.Process, code: number): Promise<never> {
  process.exitCode = code;
  // Reports the failure of an earlier write, too, which is not known yet when a command returns.
  const error = await new Promise<Error | null | undefined>((resolve) => process.stdout.write("", resolve));
  return error ? endUnwritten(process, error) : process.exit();
}

function endUnwritten(process: NodeJS.Process, error: Error): never {
  // A closed pipe, as in `kindling failed | head`, is not an error.
  if (errorCode(error) === "EPIPE") return process.exit();
  process.stderr.write(`error: Standard output cannot be written (${errorCode(error)}): the result is lost.\n`);
  return process.exit(exitCodes.found);
}

/** Reads `.env` in the working directory, as `node --env-file=.env` does: variables that are set take precedence. */
function readEnvFile(env: NodeJS.ProcessEnv): { path: string; values: Record<string, string> } | undefined {
  const path = ".env";
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const values = Object.entries(parseEnv(text)).filter((entry): entry is [string, string] => {
    const [name, value] = entry;
    return value !== undefined && env[name] === undefined;
  });
  return { path, values: Object.fromEntries(values) };
}
