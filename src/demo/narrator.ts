import { z } from "zod";
import { createPaint, fold } from "../cli/output.ts";
import type { Terminal } from "../cli/terminal.ts";
import { parseJson } from "../kinde/request.ts";

/** Writes the tour to standard output. */
export interface Narrator {
  /** Writes a line outside the steps. */
  line(text: string): void;
  heading(text: string, subtitle: string): void;
  title(number: number, title: string): void;
  say(text: string): void;
  /** Shows a command and its unedited answer. Flags that differ from those last shown of the user stand out. */
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
  const findChanges = createChangeFinder();
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
      const changes = findChanges(command, answer);
      const highlight = (text: string) =>
        changes.reduce((all, change) => all.replace(change, (found) => paint.bold(paint.notice(found))), text);
      for (const part of answer.split("\n")) block(part, `${indent}  `, (text) => paint.answer(highlight(text)));
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

const flagsAnswer = z.looseObject({ flags: z.record(z.string(), z.unknown()) });

/** Returns a function that finds the flags of an answer, as JSON members, that changed since the user's last answer. */
function createChangeFinder(): (command: string, answer: string) => string[] {
  const shown = new Map<string, Readonly<Record<string, unknown>>>();
  return (command, answer) => {
    const user = /kp_\w+/.exec(command)?.[0] ?? "";
    const flags = flagsAnswer.safeParse(parseJson(answer)).data?.flags;
    const before = shown.get(user);
    if (flags !== undefined) shown.set(user, flags);
    if (flags === undefined || before === undefined) return [];
    const changed = Object.entries(flags).filter(([name, value]) => value !== before[name]);
    return changed.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  };
}

/** Formats a measured time: `134 ms`, `1.3 s`. */
export function spent(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
