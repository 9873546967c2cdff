import { createPaint } from "../cli/output.ts";
import type { Terminal } from "../cli/terminal.ts";
import type { Mismatch } from "./mismatch.ts";

/** Tells the story on standard output. */
export interface Narrator {
  /** A line of the frame around the story. */
  frame(text: string): void;
  title(number: number, title: string): void;
  say(text: string): void;
  /** A command and the very answer it got. */
  show(command: string, answer: string): void;
  done(conclusion: string, ms: number): void;
  failed(mismatch: Mismatch): void;
}

/** A narrator; colours on a terminal only. */
export function createNarrator(terminal: Terminal): Narrator {
  const { stdout } = terminal;
  const paint = createPaint(terminal, stdout);
  const line = (text: string) => stdout.write(`${text}\n`);
  const indented = (text: string) => line(`   ${text}`);
  return {
    frame: line,
    title: (number, title) => line(`\n${paint.bold(`${number}  ${title}`)}`),
    say: indented,
    show(command, answer) {
      indented(paint.dim(`> ${command}`));
      for (const part of answer.split("\n")) indented(`  ${part}`);
    },
    done: (conclusion, ms) => indented(`${paint.good("✓")} ${conclusion} ${paint.dim(`(${spent(ms)})`)}`),
    failed({ message, expected, found }) {
      indented(`${paint.bad("✗")} ${message}`);
      indented(`  expected ${expected}`);
      indented(`  found    ${found}`);
    },
  };
}

/** Time that something took: `134 ms`, `1.3 s`. */
export function spent(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
