import { afterEach, beforeEach, expect, it } from "vitest";
import { runWorkers } from "../../src/service/run-workers.ts";
import { openStore, type Store } from "../../src/store.ts";
import type { Running } from "../../src/world.ts";
import { envOf, kindling } from "../cli/command-line.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;
let second: { store: Store; workers: Running };

beforeEach(async () => {
  stack = await startStack({ emulator: { scopes: ["read:users"] } });
  stack.subscribe();
  // A second process of the fleet, which caches the token separately.
  const store = await openStore(stack.config, stack.world, stack.log);
  second = { store, workers: await runWorkers(stack.config, stack.world, stack.log, store) };
});

afterEach(async () => {
  await second.workers.close();
  await second.store.close();
  await stack.close();
});

/** Waits until all users have failed because of the missing scope, at `since` or later. */
const haveFailed = (ids: readonly string[], since = 0) =>
  until(async () => {
    const failures = await stack.store.ledger.failures();
    expect(failures.map(({ member }) => member).sort()).toEqual([...ids].sort());
    for (const { failure } of failures) {
      expect(failure.code).toBe("kinde_forbidden");
      expect(failure.message).toContain("read:user_properties");
      expect(failure.failedAt).toBeGreaterThanOrEqual(since);
    }
  });

it("uses a newly granted scope after the failures are reprocessed, at the cost of one token", async () => {
  const { kinde, scopes, stats } = stack.emulator;
  const ids = Array.from({ length: 30 }, () => kinde.createUser().id);
  await haveFailed(ids);
  expect(stats.tokensIssued).toBe(1);

  // Reprocessing before the scope is granted costs one token, which still lacks the scope and stays in use.
  const began = Date.now();
  await kindling(["reprocess", "--failed"], envOf(stack.config));
  await haveFailed(ids, began);
  expect(stats.tokensIssued).toBe(2);

  scopes.set(["read:users", "read:user_properties"]);
  expect((await kindling(["reprocess", "--failed", "--json"], envOf(stack.config))).json).toMatchObject({
    enqueued: 30,
  });
  for (const id of ids) await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }));
  await until(async () => expect(await stack.store.ledger.failures()).toEqual([]));
  expect(stats.tokensIssued).toBe(3);
});
