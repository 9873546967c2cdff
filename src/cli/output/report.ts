import type { Terminal } from "../terminal.ts";

/** The options every operator command has. */
export interface ReportOptions {
  json?: boolean;
}

/** The option itself. */
export const jsonOption = ["--json", "print one JSON document and nothing else on standard output"] as const;

/** Prints a result: as a JSON document, or as text. */
export function report<T>(
  { stdout }: Terminal,
  { json }: ReportOptions,
  result: T,
  render: (result: T) => string,
): void {
  stdout.write(`${json === true ? JSON.stringify(result, null, 2) : render(result)}\n`);
}
