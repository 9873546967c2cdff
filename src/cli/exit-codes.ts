import { KindlingError } from "kindling";
import { ConfigurationError, errorCode, KindeError, RedisError, ThrottledError } from "../errors.ts";

/** An error in an operator's terms. */
export interface Explanation {
  exitCode: ExitCode;
  /** One for each problem. */
  lines: string[];
}

const addressProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: "is taken by another process: choose another port",
  EACCES: "needs more rights than this process has: choose a port above 1023",
  EADDRNOTAVAIL: "is no address of this machine",
};

/** Which exit code an error means, and what to say about it. */
export function explainError(error: unknown): Explanation {
  if (error instanceof ConfigurationError) return { exitCode: exitCodes.input, lines: error.problems.map(oneLine) };
  return { exitCode: exitCodeOf(error), lines: [oneLine(messageOf(error))] };
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof RedisError || error instanceof ThrottledError) return exitCodes.unreachable;
  if (error instanceof KindeError) {
    if (error.code === "kinde_unavailable") return exitCodes.unreachable;
    // Wrong credentials or a missing scope are settings, if not all of them ours.
    return error.code === "kinde_unauthorized" || error.code === "kinde_forbidden" ? exitCodes.input : exitCodes.found;
  }
  return addressProblem(error) === undefined ? exitCodes.found : exitCodes.input;
}

function messageOf(error: unknown): string {
  // Kinde's own words, for whoever sent what they speak of.
  if (error instanceof KindeError && error.reason !== undefined) return `${error.message} ${error.reason}`;
  if (error instanceof KindlingError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  return addressProblem(error) ?? `Unexpected (${errorCode(error)}): ${text}`;
}

function addressProblem(error: unknown): string | undefined {
  const problem = addressProblems[errorCode(error)];
  if (problem === undefined || !(error instanceof Error) || !("port" in error)) return undefined;
  const host = "address" in error ? `${error.address}:` : "";
  return `${host}${error.port} ${problem}.`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

/** What `kindling` exits with; 130 and 143 besides, when a signal cut a command short. */
export const exitCodes = { done: 0, found: 1, input: 2, unreachable: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The lines of `--help` on exit codes; `found` is what 1 means for this command. */
export function exitCodesHelp(found: string): string {
  return [
    "Exit codes:",
    "  0    done",
    `  1    ${found}`,
    "  2    bad arguments or settings; standard error names each",
    "  3    Redis or Kinde is out of reach",
    "  130  stopped by Ctrl-C (143 by SIGTERM)",
  ].join("\n");
}
