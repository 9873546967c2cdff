import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import { durationWords, visible, withoutCredentials } from "../words.ts";
import { type Document, toDocument } from "./documents.ts";
import type { Output, Terminal } from "./terminal.ts";

/** Options of every command that prints a result. */
export interface ReportOptions {
  json?: boolean;
}

/** Arguments of commander's `option` for `--json`. */
export const jsonOption = ["--json", "print the result as one JSON document"] as const;

/**
 * Escapes characters that could rewrite an operator's terminal, such as those of a name from Kinde, and masks the
 * credentials of URLs.
 */
export function printable(text: string): string {
  return withoutCredentials(visible(text));
}

/** Writes one line to standard error: a warning or the next step, not the result. */
export function note({ stderr }: Pick<Terminal, "stderr">, text: string): void {
  stderr.write(`${foldLines(printable(text), stderr)}\n`);
}

/**
 * Prints a result as its versioned JSON document or as text.
 *
 * @param render receives the result with every string made {@link printable}, so that only its own colors reach the terminal
 */
export function report<T>(
  { stdout }: Terminal,
  { json }: ReportOptions,
  document: Document,
  result: T,
  render: (result: T) => string,
): void {
  if (json === true) {
    const lines = JSON.stringify(toDocument(document, result), null, 2).split("\n");
    stdout.write(`${lines.map(printable).join("\n")}\n`);
  } else stdout.write(`${foldLines(render(mapStrings(result, printable)), stdout)}\n`);
}

/** Applies a function to every string in a value, and to the names of members. */
function mapStrings<T>(value: T, change: (text: string) => string): T;
function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [change(name), mapStrings(item, change)]));
}

/** Formats a value that {@link report} has made printable as JSON, without escaping its escapes again. */
export function valueWords(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/\\(\\u[\da-f]{4})/g, "$1");
}

/** Formats rows as lines with aligned columns. The last column is not padded; color codes have no width. */
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

/** Breaks a line after spaces, and in JSON after commas. Further lines are indented by `hanging`. */
export function fold(text: string, width: number, hanging = 0): string[] {
  const lines = [""];
  for (const word of text.split(/(?<= )(?=[^ ])|(?<=,)(?=["[{])/)) {
    const current = lines.at(-1) ?? "";
    if (current.trim() !== "" && widthOf((current + word).trimEnd()) > width) lines.push(" ".repeat(hanging) + word);
    else lines[lines.length - 1] = current + word;
  }
  return lines.map((part) => part.trimEnd());
}

const widestLabel = 30;

/** Folds lines that are wider than the terminal, if the stream is one. Their rest stands below the second column. */
function foldLines(text: string, { isTTY, columns }: Output): string {
  if (isTTY !== true) return text;
  const width = columns || 80;
  return text
    .split("\n")
    .flatMap((line) => {
      const plain = stripVTControlCharacters(line);
      if (plain.length <= width) return [line];
      const label = /^ *[^ ].*? {2,}(?=[^ ])/.exec(plain)?.[0].length ?? Number.POSITIVE_INFINITY;
      const indent = plain.length - plain.trimStart().length;
      return fold(line, width, label <= widestLabel ? label : indent + 2);
    })
    .join("\n");
}

function widthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}

/** Text styles by meaning: `good` green, `notice` yellow, `bad` red, `answer` cyan, `dim` for detail, `bold` for headings. */
export type Paint = Record<"good" | "notice" | "bad" | "answer" | "dim" | "bold", (text: string | number) => string>;

/** Creates the styles of a stream: plain unless it is a terminal and `NO_COLOR` (https://no-color.org) is unset. */
export function createPaint({ env }: Terminal, output: Output): Paint {
  const wanted = output.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
  const { green, yellow, red, cyan, dim, bold } = picocolors.createColors(wanted);
  return { good: green, notice: yellow, bad: red, answer: cyan, dim, bold };
}

/** Shorter waits are not reported. */
const noticeableMs = 1_000;

/** Returns a callback that reports waits for Kinde's call limit on standard error. */
export function reportWaiting(terminal: Terminal): (ms: number) => void {
  return (ms) => {
    if (ms >= noticeableMs)
      note(terminal, `Kinde's call limit is reached: waiting ${durationWords(ms)} (Ctrl-C to stop).`);
  };
}
