import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.close());

it("skips the job of an event that another refresh has reflected", async () => {
  const { emulator, store } = stack;
  const [reflected, outstanding] = emulator.kinde.importUsers([{}, {}]).map(({ id }) => id);
  const fetched = (id: string | undefined) => emulator.stats.recent.filter(({ user }) => user === id).length;
  await store.ledger.intend(String(outstanding));
  await store.queues.enqueueRefreshes(
    [reflected, outstanding].map((userId) => ({ userId: String(userId), owed: true, delayMs: 0 })),
  );
  await until(async () =>
    expect(await store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0),
  );
  expect(fetched(outstanding)).toBeGreaterThan(0);
  expect(fetched(reflected)).toBe(0);
});
