import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { watchLedger } from "../../src/refresh/watch-ledger.ts";
import { type Stack, startStack } from "../support/stack.ts";

const [minute, hour] = [60_000, 3_600_000];
let stack: Stack;

beforeEach(async () => {
  stack = await startStack({ workers: false });
  stack.subscribe();
});

afterEach(() => stack.close());

/** Creates a user with an event whose job failed for good and was removed. */
async function gaveUp(final: boolean): Promise<string> {
  const { id } = stack.emulator.kinde.createUser();
  await stack.emulator.deliveries.settled();
  await stack.store.queues.refresh.obliterate({ force: true });
  const failure = { code: "kinde_unavailable", message: "", failedAt: Date.now(), attempts: 20, final };
  await stack.store.ledger.fail(id, failure);
  return id;
}

async function enqueuedAfter(ms: number): Promise<number> {
  const { redis, keys } = stack.store;
  await redis.del(keys.ledgerPart("watch"));
  return watchLedger({
    ...stack.store,
    now: () => Date.now() + ms,
    intervalMs: 1,
    retryMs: 15 * minute,
    failedRetryMs: hour,
  });
}

it("a failure stamped by a clock that was ahead is retried in time", async () => {
  const { id } = stack.emulator.kinde.createUser();
  await stack.emulator.deliveries.settled();
  await stack.store.queues.refresh.obliterate({ force: true });
  const failedAt = Date.now() + 10 * hour;
  await stack.store.ledger.fail(id, { code: "kinde_unavailable", message: "", failedAt, attempts: 20, final: false });
  expect(await enqueuedAfter(0)).toBe(1);
});

describe("a user whose job failed for good", () => {
  it("gets another job soon if the attempts were used up", async () => {
    await gaveUp(false);
    expect(await enqueuedAfter(14 * minute)).toBe(0);
    expect(await enqueuedAfter(16 * minute)).toBe(1);
  });

  it("gets another job later if no retry could help", async () => {
    await gaveUp(true);
    expect(await enqueuedAfter(59 * minute)).toBe(0);
    expect(await enqueuedAfter(61 * minute)).toBe(1);
  });

  it("gets another job at once if the job of a later event is lost too", async () => {
    const id = await gaveUp(true);
    stack.emulator.kinde.updateUser(id, { firstName: "Ada" });
    await stack.emulator.deliveries.settled();
    await stack.store.queues.refresh.obliterate({ force: true });
    expect(await enqueuedAfter(minute)).toBe(1);
  });
});
