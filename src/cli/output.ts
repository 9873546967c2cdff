import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import { durationWords } from "../words.ts";
import { type Document, toDocument } from "./documents.ts";
import type { Output, Terminal } from "./terminal.ts";

/** Options of every command that prints a result. */
export interface ReportOptions {
  json?: boolean;
}

/** Arguments of commander's `option` for `--json`. */
export const jsonOption = ["--json", "print the result as one JSON document"] as const;

// Everything but line breaks, tabs and the colors of our own that can move a cursor, hide text or turn it around:
// C0 and C1 controls, and Unicode's bidirectional and line separators.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
const unprintable = /\x1b\[[\d;]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

// The placeholder in our own messages is no secret.
const credentials = /\b([a-z][a-z\d+.-]*:\/\/)(?!:<password>@)[^\s/?#"'@]+@/gi;

/**
 * Escapes control and bidirectional characters, so that a name from Kinde cannot rewrite an operator's terminal, and masks
 * the credentials of URLs.
 */
export function printable(text: string): string {
  return text
    .replace(unprintable, (found) =>
      found.startsWith("\x1b[") ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
    )
    .replace(credentials, "$1***@");
}

/** Writes one line to standard error: a warning or the next step, not the result. */
export function note({ stderr }: Terminal, text: string): void {
  stderr.write(`${printable(text)}\n`);
}

/** Prints a result as its versioned JSON document or as text. */
export function report<T>(
  { stdout }: Terminal,
  { json }: ReportOptions,
  document: Document,
  result: T,
  render: (result: T) => string,
): void {
  stdout.write(
    `${printable(json === true ? JSON.stringify(toDocument(document, result), null, 2) : render(result))}\n`,
  );
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

/** Breaks a line after spaces and commas, so that sentences and JSON stay readable on a narrow terminal. */
export function fold(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(/(?<=[ ,])/)) {
    const current = lines.at(-1) ?? "";
    if (current !== "" && widthOf((current + word).trimEnd()) > width) lines.push(word);
    else lines[lines.length - 1] = current + word;
  }
  return lines.map((part) => part.trimEnd());
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
export function reportWaiting({ stderr }: Terminal): (ms: number) => void {
  return (ms) => {
    if (ms >= noticeableMs)
      stderr.write(`Kinde's call limit is reached: waiting ${durationWords(ms)} (Ctrl-C to stop).\n`);
  };
}
