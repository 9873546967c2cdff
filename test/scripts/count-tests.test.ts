import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { provideChromium } from "../support/chromium.ts";

// A plain script has no types of its own.
const { countTests, skippedTests } = (await import(new URL("../../scripts/count-tests.mjs", import.meta.url).href)) as {
  countTests: (report: object | undefined, exitCode: number) => string;
  skippedTests: (report: object | undefined) => string[];
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

it("names the tests that a run left out", () => {
  const one = (status: string, fullName: string) => ({ status, fullName });
  const report = {
    testResults: [{ assertionResults: [one("passed", "a"), one("skipped", "b"), one("pending", "c")] }],
  };
  expect(skippedTests(report)).toEqual(["b", "c"]);
  expect(skippedTests(undefined)).toEqual([]);
});

describe("the Chromium of browser tests", () => {
  it("is installed if it is missing and can be", async () => {
    let installed: string | undefined;
    const install = async () => {
      installed = "/usr/bin/chromium";
    };
    expect(await provideChromium({ find: () => installed, install, required: true })).toBe("/usr/bin/chromium");
  });

  it("is missed quietly, or by name if it is required", async () => {
    const without = { find: () => undefined, install: async () => undefined };
    expect(await provideChromium({ ...without, required: false })).toBeUndefined();
    await expect(provideChromium({ ...without, required: true })).rejects.toThrow("No Chromium is on PATH");
  });

  it("is required by .ci/run", () => {
    expect(readFileSync(new URL("../../.ci/run", import.meta.url), "utf8")).toContain(
      "export KINDLING_TEST_REQUIRE_CHROMIUM=1",
    );
  });
});
