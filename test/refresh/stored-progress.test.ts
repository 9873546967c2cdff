import { expect, it } from "vitest";
import { storedFanoutProgress } from "../../src/refresh/queues.ts";

const progress = { ticket: 7, source: "records", cursor: "12", runId: "ab" } as const;

it("is read back as it was written, and from a release without versions", () => {
  expect(storedFanoutProgress.parse(storedFanoutProgress.versioned(progress))).toEqual(progress);
  expect(storedFanoutProgress.parse({ ticket: 7, source: "listing", cursor: null })).toEqual({
    ticket: 7,
    source: "listing",
    cursor: null,
  });
});

it.each([
  undefined,
  null,
  "x",
  7,
  [],
  {},
  { ...progress, ticket: "7" },
  { ...progress, source: "search" },
  { ...progress, cursor: 3 },
  { ...progress, v: 2 },
])("starts again from %j", (stored) => {
  expect(storedFanoutProgress.parse(stored)).toBeUndefined();
});
