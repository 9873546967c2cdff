import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import { durationWords } from "../words.ts";
import type { Output, Terminal } from "./terminal.ts";

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

/** Rows as lines, their columns padded to one width each; the last one runs free. Colours do not count. */
export function align(rows: readonly (readonly string[])[], indent = "  "): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.slice(0, -1).forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
    });
  }
  const pad = (cell: string, column: number) => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
  return rows.map((row) => (indent + row.map(pad).join("  ")).trimEnd()).join("\n");
}

function widthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}

/** The few colours that mean something: green fine, yellow look here, red failed; dim is detail, bold a heading. */
export type Paint = Record<"good" | "notice" | "bad" | "dim" | "bold", (text: string | number) => string>;

/** Colours for a stream: on a terminal only, and none where `NO_COLOR` is set (https://no-color.org). */
export function createPaint({ env }: Terminal, output: Output): Paint {
  const wanted = output.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
  const { green, yellow, red, dim, bold } = picocolors.createColors(wanted);
  return { good: green, notice: yellow, bad: red, dim, bold };
}

/** Waits shorter than this are not worth a word. */
const noticeableMs = 1_000;

/** Says on standard error that the command waits for the call limit. */
export function sayWaiting({ stderr }: Terminal): (ms: number) => void {
  return (ms) => {
    if (ms >= noticeableMs) stderr.write(`Kinde has no room for calls: waiting ${durationWords(ms)} (Ctrl-C stops).\n`);
  };
}
