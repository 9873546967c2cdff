import { expect, it } from "vitest";
import { printable } from "../../src/cli/output.ts";

it.each([
  ["a CSI sequence that clears the screen", "a\u001b[2Jb", "a\\u001b[2Jb"],
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

it("keeps URLs without credentials, and e-mail addresses", () => {
  const text = "https://x.example/a?b=c@d ada@example.com http://x.example/@name";
  expect(printable(text)).toBe(text);
});

it("keeps line breaks, tabs, colors and letters of every script", () => {
  const text = "one\n\ttwo \u001b[31mred\u001b[39m Zoë 東京 🙂";
  expect(printable(text)).toBe(text);
});
