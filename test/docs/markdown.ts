import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A fenced code block. */
export interface Block {
  /** Path of its file, relative to the root. */
  file: string;
  /** Index of its first line of code in the file. */
  line: number;
  language: string;
  /** What follows the language: `continue`, `from <file>`, `unchecked` or nothing. */
  marker: string;
  code: string;
}

const names = [
  "README.md",
  "bench/README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md") && !name.startsWith(".vitepress"))
    .map((name) => `docs/${name}`),
  ...["kindling", "kinde-emulator"].map((name) => `packages/${name}/README.md`),
  ...readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("README.md") && !name.includes("node_modules"))
    .map((name) => `examples/${name}`),
];

/** Every page of the documentation, by its path relative to the root. */
export const pages: ReadonlyMap<string, string> = new Map(
  names.map((name) => [name, readFileSync(join(root, name), "utf8")]),
);

/** Every fenced code block of the documentation. */
export const blocks: readonly Block[] = [...pages].flatMap(([file, text]) => blocksOf(file, text));

/** The fenced code blocks of a page. A block inside a list item loses the item's indent. */
export function blocksOf(file: string, text: string): Block[] {
  const found: Block[] = [];
  let open: (Omit<Block, "code"> & { indent: number; lines: string[] }) | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const [, indent = "", language = "", marker = ""] = /^( *)```(\S*) *(.*)$/.exec(line) ?? [];
    if (!line.trimStart().startsWith("```")) open?.lines.push(line.slice(open.indent));
    else if (open === undefined) {
      open = { file, line: index + 1, language, marker: marker.trim(), indent: indent.length, lines: [] };
    } else {
      const { indent: _indent, lines, ...block } = open;
      found.push({ ...block, code: lines.join("\n") });
      open = undefined;
    }
  }
  return found;
}
