import { afterEach, beforeEach, expect, it } from "vitest";
import { envOf } from "../cli/command-line.ts";
import { sigkill, useProcesses } from "../support/processes.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const processes = useProcesses();
let stack: Stack;

beforeEach(async () => {
  stack = await startStack({ workers: false });
});

afterEach(() => stack.close());

it("another worker takes over the job of a worker killed during a fetch within 30 s", async () => {
  const { emulator, store, config } = stack;
  const doomed = await processes.worker(envOf(config));
  stack.subscribe();
  const heal = emulator.faults.set({ kind: "hang", path: "/api/v1/user" });
  const { id } = emulator.kinde.createUser();
  await until(() => expect(emulator.faults.list()[0]?.struck).toBe(1));
  await sigkill(doomed);
  heal();
  const killed = performance.now();
  await stack.startWorkers();
  // Nothing else triggers it: no event arrives, and the ledger check does not run within this time.
  await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }), 30_000);
  expect(performance.now() - killed).toBeLessThan(30_000);
  await until(async () => expect((await store.ledger.size()).size).toBe(0));
}, 60_000);
