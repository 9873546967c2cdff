import { KindlingError } from "kindling";
import { ConfigurationError, errorCode, KindeError, RedisError, TenantError, ThrottledError } from "../errors.ts";

/** An error as reported to an operator. */
export interface Explanation {
  exitCode: ExitCode;
  /** One line per problem. */
  lines: string[];
}

const addressProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: "is taken by another process: choose another port",
  EACCES: "is a privileged port: choose a port above 1023",
  EADDRNOTAVAIL: "is not an address of this machine: check HOST",
};

/** Returns the exit code and the lines to print for an error. */
export function explainError(error: unknown): Explanation {
  if (error instanceof ConfigurationError) return { exitCode: exitCodes.input, lines: error.problems.map(oneLine) };
  return { exitCode: exitCodeOf(error), lines: [oneLine(messageOf(error))] };
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof TenantError) return exitCodes.input;
  if (error instanceof RedisError || error instanceof ThrottledError) return exitCodes.unreachable;
  if (error instanceof KindeError) {
    if (error.code === "kinde_unavailable") return exitCodes.unreachable;
    // Wrong credentials and missing scopes are configuration mistakes, here or in Kinde.
    return error.code === "kinde_unauthorized" || error.code === "kinde_forbidden" ? exitCodes.input : exitCodes.found;
  }
  return addressProblem(error) === undefined ? exitCodes.found : exitCodes.input;
}

function messageOf(error: unknown): string {
  // Kinde's reason can quote what was sent, so only the sender sees it; it is never logged.
  if (error instanceof KindeError && error.reason !== undefined) return `${error.message} ${error.reason}`;
  if (error instanceof KindlingError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  return addressProblem(error) ?? `Unexpected error (${errorCode(error)}): ${text}`;
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

/** Exit codes of `kindling`. A command stopped by a signal exits with 130 or 143 instead. */
export const exitCodes = { done: 0, found: 1, input: 2, unreachable: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/**
 * Returns the exit code section of `--help`.
 *
 * @param found what 1 means for the command
 * @param calls what 3 means: which servers the command calls. Default: both
 */
export function exitCodesHelp(found: string, calls: "Redis" | "Redis or Kinde" | "none" = "Redis or Kinde"): string {
  return [
    "Exit codes:",
    "  0    success",
    `  1    ${found}`,
    "  2    invalid arguments or settings; standard error names each one",
    ...(calls === "none" ? [] : [`  3    ${calls} is unreachable`]),
    "  130  stopped by Ctrl-C (143: by SIGTERM)",
  ].join("\n");
}
