import { describe, expect, it } from "vitest";

// A plain script has no types of its own.
const { countTests } = (await import(new URL("../../scripts/count-tests.mjs", import.meta.url).href)) as {
  countTests: (report: object | undefined, exitCode: number) => string;
};

describe("the closing line of npm test", () => {
  it("counts what passed and what failed", () => {
    expect(countTests({ numPassedTests: 12, numFailedTests: 2 }, 1)).toBe("12 passed, 2 failed");
  });

  it("names what was skipped", () => {
    const report = { numPassedTests: 12, numFailedTests: 0, numPendingTests: 3, numTodoTests: 1 };
    expect(countTests(report, 0)).toBe("12 passed, 0 failed, 4 skipped");
  });

  it("counts a file that does not load", () => {
    const testResults = [
      { status: "failed", assertionResults: [] },
      { status: "failed", assertionResults: [{ status: "failed" }] },
      { status: "passed", assertionResults: [{ status: "passed" }] },
    ];
    expect(countTests({ numPassedTests: 1, numFailedTests: 1, testResults }, 1)).toBe("1 passed, 2 failed");
  });

  it("never reports a failed run as one without failures", () => {
    expect(countTests({ numPassedTests: 9, numFailedTests: 0 }, 1)).toBe("9 passed, 1 failed");
    expect(countTests(undefined, 1)).toBe("0 passed, 1 failed");
  });
});
