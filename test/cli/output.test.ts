import { PassThrough, Readable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { align, createPaint, note, printable, report, valueWords } from "../../src/cli/output.ts";
import type { Terminal } from "../../src/cli/terminal.ts";

it.each([
  ["a CSI sequence that clears the screen", "a\u001b[2Jb", "a\\u001b[2Jb"],
  ["a color", "a\u001b[31mb", "a\\u001b[31mb"],
  ["a line break and a tab", "a\n\tb", "a\\u000a\\u0009b"],
  ["a zero-width space", "a\u200bb", "a\\u200bb"],
  ["a C1 control", "a\u009b31mb", "a\\u009b31mb"],
  ["an OSC 8 link", "\u001b]8;;https://evil.example\u0007x", "\\u001b]8;;https://evil.example\\u0007x"],
  ["a carriage return", "safe\rfake", "safe\\u000dfake"],
  ["a right-to-left override", "kp_\u202etxt", "kp_\\u202etxt"],
  ["a bidirectional isolate", "\u2066a\u2069", "\\u2066a\\u2069"],
])("escapes %s", (_what, text, escaped) => {
  expect(printable(text)).toBe(escaped);
});

it.each([
  ["https://user:secret@kindling.example.com/hook", "https://***@kindling.example.com/hook"],
  ["redis://:secret@127.0.0.1:6379, https://token@x.example", "redis://***@127.0.0.1:6379, https://***@x.example"],
  ['"https://a:b@c.example/"', '"https://***@c.example/"'],
])("masks the credentials of %s", (text, masked) => {
  expect(printable(text)).toBe(masked);
});

it("masks the credentials of a long text without delay", () => {
  const text = "a-".repeat(50_000);
  const started = performance.now();
  expect(printable(`redis://user:secret@x.example ${text}`)).toBe(`redis://***@x.example ${text}`);
  expect(performance.now() - started).toBeLessThan(1_000);
});

it("keeps URLs without credentials, and e-mail addresses", () => {
  const text = "https://x.example/a?b=c@d ada@example.com http://x.example/@name";
  expect(printable(text)).toBe(text);
});

it("keeps letters of every script", () => {
  const text = "Zoë 東京 🙂";
  expect(printable(text)).toBe(text);
});

function terminal(properties: { isTTY?: boolean; columns?: number } = {}, env: Terminal["env"] = {}) {
  const stdout = Object.assign(new PassThrough(), properties);
  const stderr = Object.assign(new PassThrough(), properties);
  const world = { fetch, now: Date.now };
  const created: Terminal = {
    env,
    stdin: Readable.from([]),
    stdout,
    stderr,
    world,
    stopSignal: () => new AbortController().signal,
    limitHeapGrowth: () => undefined,
  };
  return { ...created, text: () => String(stdout.read() ?? ""), said: () => String(stderr.read() ?? "") };
}

const document = { version: 1, schema: z.object({ name: z.string(), value: z.unknown() }) };
const hostile = "Ada\u001b[32m ok\u001b[39m\n  kp_1  \u202egnp.exe https://user:secret@x.example";
const escaped = "Ada\\u001b[32m ok\\u001b[39m\\u000a  kp_1  \\u202egnp.exe https://***@x.example";

describe("a result", () => {
  it("has no color and no line of a value's own, on a terminal or not", () => {
    for (const properties of [{}, { isTTY: true, columns: 1_000 }]) {
      const shown = terminal(properties);
      const paint = createPaint(shown, shown.stdout);
      report(shown, {}, document, { name: hostile, value: { [hostile]: [hostile] } }, ({ name, value }) =>
        [paint.bold(name), valueWords(value)].join("\n"),
      );
      const lines = shown.text().split("\n");
      expect(lines).toEqual([paint.bold(escaped), `{"${escaped}":["${escaped}"]}`, ""]);
    }
  });

  it("as JSON parses to the same text, and has no member that the schema does not name", () => {
    const shown = terminal();
    report(shown, { json: true }, document, { name: "Zoë\u202e\n", value: 1, position: 7 }, () => "");
    const text = shown.text();
    expect(text).not.toContain("\u202e");
    expect(JSON.parse(text)).toEqual({ v: 1, name: "Zoë\u202e\n", value: 1 });
  });

  it("has no color if NO_COLOR is set, or the terminal has none", () => {
    for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      const shown = terminal({ isTTY: true, columns: 80 }, env);
      expect(createPaint(shown, shown.stdout).bad("x")).toBe("x");
    }
    const colored = terminal({ isTTY: true, columns: 80 });
    expect(createPaint(colored, colored.stdout).bad("x")).not.toBe("x");
  });
});

describe("on a narrow terminal", () => {
  const words = "an acknowledged event is lost with the last second before a power cut, as redis.conf has it";
  const print = (text: string, columns?: number) => {
    const shown = terminal(columns === undefined ? {} : { isTTY: true, columns });
    report(shown, {}, document, { name: "", value: "" }, () => text);
    return shown.text();
  };

  it("folds a long line between words, below its second column", () => {
    const shown = terminal({ isTTY: true });
    const row = align([["acknowledged events", createPaint(shown, shown.stdout).notice(words)]]);
    const lines = print(row, 60).trimEnd().split("\n").map(stripVTControlCharacters);
    expect(lines).toEqual([
      "  acknowledged events  an acknowledged event is lost with",
      "                       the last second before a power cut,",
      "                       as redis.conf has it",
    ]);
  });

  it("folds a row whose first column is wide below its start", () => {
    const row = align([["kp_0123456789abcdef0123456789abcdef", "kinde_forbidden", words]], "");
    const lines = print(row, 60).trimEnd().split("\n");
    expect(lines[0]).toBe("kp_0123456789abcdef0123456789abcdef  kinde_forbidden  an");
    expect(lines.slice(1).every((line) => /^ {2}\S/.test(line))).toBe(true);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(lines.map((line) => line.trim()).join(" ")).toBe(row);
  });

  it("leaves a stream that is no terminal as it is", () => {
    expect(print(words)).toBe(`${words}\n`);
  });

  it("folds notes and errors, and never within a number", () => {
    const shown = terminal({ isTTY: true, columns: 20 });
    note(shown, "error: 1,250,000 of 2,000,000 users");
    expect(shown.said()).toBe("error: 1,250,000 of\n  2,000,000 users\n");
  });
});
