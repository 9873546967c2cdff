import { afterEach, expect, it } from "vitest";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
afterEach(() => stack.close());

const status = async (env: Record<string, string>) =>
  (await kindling(["status", "--json"], env)).json as {
    warnings: { code: string; message: string }[];
    sweep: { bound: object | null };
  };

it("kindling sweep --wait reports why a sweep failed, and status warns until one succeeds", async () => {
  stack = await startStack({ emulator: { users: 5 } });
  const { redis, keys, sweeps } = stack.store;
  // A fleet with a schedule, whose sweeps succeeded until now.
  await redis.set(keys.ledgerPart("interval:sweep"), JSON.stringify({ v: 1, intervalMs: 900_000, share: 0.1 }));
  const before = Date.now() - 60_000;
  await sweeps.finish(beginSweep({ number: 1, previous: undefined, now: before, fill: false }), before);
  const env = envOf(stack.config);
  const heal = stack.emulator.faults.set({ kind: "error", status: 403, path: "/api/v1/search/users" });
  const refused = await kindling(["sweep", "--wait"], env);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/The sweep gave up\. kinde_forbidden: .*scope read:users/);
  const sweepFailed = expect.objectContaining({ code: "sweep_failed", message: expect.stringContaining("read:users") });
  const failed = await status(env);
  expect(failed.warnings).toContainEqual(sweepFailed);
  expect(failed.sweep.bound).toBeNull();
  heal();
  const done = await kindling(["sweep", "--wait", "--json"], env);
  expect(done).toMatchObject({ code: 0, json: { started: true, finished: { users: 5, missing: 5 } } });
  const healed = await status(env);
  expect(healed.warnings).not.toContainEqual(sweepFailed);
  expect(healed.sweep.bound).toMatchObject({ everyMs: 30_000 });
});

it("kindling sweep --wait waits for a sweep that began after it, if one is under way", async () => {
  stack = await startStack({ emulator: { users: 5 } });
  const { emulator, store } = stack;
  const env = envOf(stack.config);
  const searches = () => emulator.stats.calls["GET /api/v1/search/users"] ?? 0;
  emulator.faults.set({ kind: "latency", ms: 300, path: "/api/v1/search/users" });
  await store.queues.enqueueSweep({ paced: true });
  await until(() => expect(searches()).toBeGreaterThan(0));
  const began = Date.now();
  expect(await kindling(["sweep"], env)).toMatchObject({ code: 0, stdout: "A sweep was under way already.\n" });
  const { json, stderr } = await kindling(["sweep", "--wait", "--json"], env);
  expect(stderr).toBe("A sweep is under way already: another one starts when it ends (Ctrl-C to stop).\n");
  expect((json as { finished: { startedAt: number } }).finished.startedAt).toBeGreaterThan(began);
});
