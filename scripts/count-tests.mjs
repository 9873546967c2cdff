/** Returns the names of the tests that a run left out, as vitest's JSON reporter wrote them. */
export function skippedTests(report) {
  const tests = (report?.testResults ?? []).flatMap(({ assertionResults }) => assertionResults);
  return tests.filter(({ status }) => ["skipped", "pending", "todo"].includes(status)).map(({ fullName }) => fullName);
}

/**
 * Returns the closing line of a test run: `N passed, N failed`, and `, N skipped` if any were.
 *
 * @param report what vitest's JSON reporter wrote, if it ran
 * @param exitCode vitest's: a file that does not load, or an error outside any test, fails the run but no test
 */
export function countTests(report, exitCode) {
  const { numPassedTests: passed = 0, numFailedTests = 0, numPendingTests = 0, numTodoTests = 0 } = report ?? {};
  const broken = (report?.testResults ?? []).filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );
  const failed = numFailedTests + broken.length;
  const skipped = numPendingTests + numTodoTests;
  const line = `${passed} passed, ${exitCode !== 0 && failed === 0 ? 1 : failed} failed`;
  return skipped > 0 ? `${line}, ${skipped} skipped` : line;
}
