import { createPaint, fold } from "../cli/output.ts";
import type { Terminal } from "../cli/terminal.ts";

/** Writes the tour to standard output. */
export interface Narrator {
  /** Writes a line outside the steps. */
  line(text: string): void;
  heading(text: string, subtitle: string): void;
  title(number: number, title: string): void;
  say(text: string): void;
  /** Shows a command and its unedited answer. */
  show(command: string, answer: string): void;
  passed(conclusion: string, ms: number): void;
  failed(mismatch: { message: string; expected: string; found: string }): void;
}

const indent = "   ";

/** Creates a narrator. Colors and line folding apply on a terminal only. */
export function createNarrator(terminal: Terminal): Narrator {
  const { stdout } = terminal;
  const paint = createPaint(terminal, stdout);
  const width = stdout.isTTY === true && stdout.columns !== undefined ? stdout.columns : Number.POSITIVE_INFINITY;
  const line = (text: string) => stdout.write(`${text}\n`);
  const block = (text: string, prefix: string, style: (text: string) => string) => {
    for (const part of fold(text, width - prefix.length)) line(prefix + style(part));
  };
  return {
    line,
    heading: (text, subtitle) => line(`${paint.bold(text)}${paint.dim(`: ${subtitle}`)}`),
    title: (number, title) => line(`\n${paint.bold(`${number}  ${title}`)}`),
    say: (text) => block(text, indent, (part) => part),
    show(command, answer) {
      line(`${indent}${paint.dim(`> ${command}`)}`);
      for (const part of answer.split("\n")) block(part, `${indent}  `, paint.answer);
    },
    passed: (conclusion, ms) =>
      line(`${indent}${paint.good("✓")} ${paint.bold(conclusion)} ${paint.dim(`(${spent(ms)})`)}`),
    failed({ message, expected, found }) {
      line(`${indent}${paint.bad("✗")} ${message}`);
      line(`${indent}  expected ${expected}`);
      line(`${indent}  found    ${found}`);
    },
  };
}

/** Formats a measured time: `134 ms`, `1.3 s`. */
export function spent(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
