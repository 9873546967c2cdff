import { describe, expect, it } from "vitest";
import { follow, type Trail } from "../../src/kinde/paging.ts";

const route = "GET /pages";

/** Walks through the cursors until one is refused. Returns how many pages that took. */
function walk(cursorOf: (page: number) => string, limit = 1_000): number {
  let trail: Trail | undefined;
  let page = 0;
  for (;;) {
    try {
      trail = follow(trail, cursorOf(page), { route, limit });
    } catch {
      return page;
    }
    page += 1;
  }
}

describe("a walk through pages", () => {
  it.each([
    [1, 0],
    [2, 0],
    [3, 5],
    [7, 40],
    [50, 13],
  ])("ends soon in a cycle of %i pages that begins after %i", (length, start) => {
    const cursorOf = (page: number) => `c${page < start ? page : start + ((page - start) % length)}`;
    expect(walk(cursorOf)).toBeLessThanOrEqual(3 * (start + length));
  });

  it("ends at the limit if the cursors never repeat", () => {
    expect(walk((page) => `c${page}`, 30)).toBe(29);
  });

  it("refuses a cursor that no query should carry", () => {
    expect(() => follow(undefined, "x".repeat(3_000), { route })).toThrow("malformed cursor");
  });
});
