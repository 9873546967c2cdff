import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { pages, root } from "./markdown.ts";

const isSource = (name: string) => /\.tsx?$/.test(name) && !/^(dashboard|demo)\//.test(name);
const sources = ["src", "workers", "packages/kindling/src"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter(isSource)
    .map((name) => readFileSync(join(root, folder, name), "utf8")),
);

/** Not errors that anybody receives: zod's own, reasons to abort, and one within the derivation of flags. */
const internal = ["custom", "aborted", "interrupted", "profile_part_missing"];

/** Codes in the unions of error classes and warnings, and in errors, refusals and failures that are created. */
function codesIn(source: string): string[] {
  const unions = [...source.matchAll(/(?:\w+Code =|extends KindlingError<|\bcode:)((?:\s|\/\*.*\*\/|\||"\w+")+)[;>]/g)];
  const created = [...source.matchAll(/(?:new \w+Error\(|failure\(|\bcode: )\s*("\w+")/g)];
  return [...unions, ...created].flatMap(([, text = ""]) =>
    [...text.matchAll(/"([a-z_]+)"/g)].map(([, code = ""]) => code),
  );
}

const codes = [...new Set(sources.flatMap(codesIn))].filter((code) => !internal.includes(code));
const documented = [...pages.values()].join("\n");

it("explain every code of an error, refusal or warning", () => {
  expect(codes.length).toBeGreaterThan(50);
  expect(codes.filter((code) => !documented.includes(`\`${code}\``)).sort()).toEqual([]);
});
