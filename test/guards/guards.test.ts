import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { guards, promises } from "./guards.ts";
import { guardTable } from "./table.ts";

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");

describe("the guards", () => {
  it.each(guards)("can be removed: $name", ({ file, find, replace }) => {
    expect(read(file).split(find)).toHaveLength(2);
    expect(replace).not.toBe(find);
  });

  it("cover every promise", () => {
    const covered = new Set(guards.map(({ promise }) => String(promise)));
    expect([...covered].sort()).toEqual(Object.keys(promises).sort());
  });

  it("are listed in the documentation", () => {
    expect(read("docs/guards.md")).toContain(guardTable());
  });
});
