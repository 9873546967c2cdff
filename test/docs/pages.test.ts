import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, it } from "vitest";
import { pages, root } from "./markdown.ts";

const withoutCode = (text: string) => text.replace(/^ *```[\s\S]*?^ *```/gm, "");

/** Anchors as GitHub and VitePress make them of headings. */
function anchorsOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replace(/\s/g, "-"),
  );
}

it.each([...pages.keys()])("links to files and headings that exist: %s", (page) => {
  const text = withoutCode(pages.get(page) ?? "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)].map(([, one, other]) =>
    String(one ?? other),
  );
  const dead = links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path = "", anchor] = link.split("#");
      const file = path === "" ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(root, file))) return true;
      return anchor !== undefined && !anchorsOf(pages.get(file) ?? "").includes(anchor);
    });
  expect(dead).toEqual([]);
});

it("installs the packages that are packed in a checkout together with what they need", () => {
  const installs = [...pages].flatMap(([page, text]) =>
    [...text.matchAll(/^.*npm install .*\/kindling-server-(\S+)\.tgz.*$/gm)].map(([line = "", version = ""]) => ({
      page,
      line,
      version,
    })),
  );
  expect(installs.length).toBeGreaterThan(2);
  const isAlone = ({ line, version }: { line: string; version: string }) => !line.includes(`/kindling-${version}.tgz`);
  expect(installs.filter(isAlone)).toEqual([]);
});

/** Words in a row that two passages of a page can share by chance. */
const chance = 12;

/** Paragraphs, bullets and rows of tables, without code. */
const passagesOf = (text: string) =>
  withoutCode(text)
    .split(/\n\s*\n|\n(?=\s*[-|\d])/)
    .map((passage) => passage.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);

// The rows of the table of guards name their files and tests.
const prose = [...pages.keys()].filter((page) => page !== "docs/guards.md");

it.each(prose)("says nothing twice: %s", (page) => {
  const seen = new Map<string, number>();
  const repeated = new Set<string>();
  for (const [index, words] of passagesOf(pages.get(page) ?? "").entries()) {
    for (let at = 0; at + chance <= words.length; at += 1) {
      const row = words.slice(at, at + chance).join(" ");
      if ((seen.get(row) ?? index) !== index) repeated.add(words.slice(0, chance).join(" "));
      seen.set(row, index);
    }
  }
  expect([...repeated]).toEqual([]);
});
