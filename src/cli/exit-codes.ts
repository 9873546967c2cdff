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
