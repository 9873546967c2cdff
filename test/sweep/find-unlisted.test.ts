import { expect, it } from "vitest";
import { isScanDue, longestPauseMs } from "../../src/sweep/find-unlisted.ts";

const now = 1_700_000_000_000;

it.each([
  ["never", { scanMs: 0, scannedAt: null }, true],
  ["just now, in a twentieth of the time between sweeps", { scanMs: 1_500, scannedAt: now }, true],
  ["in 3 s, and ended 59 s ago", { scanMs: 3_000, scannedAt: now - 59_000 }, false],
  ["in 3 s, and ended 60 s ago", { scanMs: 3_000, scannedAt: now - 60_000 }, true],
  ["in an hour, and ended 14 minutes ago", { scanMs: 3_600_000, scannedAt: now - 840_000 }, false],
  ["in an hour, and ended 15 minutes ago", { scanMs: 3_600_000, scannedAt: now - longestPauseMs }, true],
  ["in 3 s, before the clock stepped back", { scanMs: 3_000, scannedAt: now + 3_600_000 }, true],
])("records scanned %s are due for a scan again after 20 times as long, at most 15 minutes", (_when, last, due) => {
  expect(isScanDue(last, now)).toBe(due);
});
