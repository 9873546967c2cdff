import { expect } from "vitest";
import type { Flows } from "../../src/service/create-flows.ts";
import { currentSweep } from "../../src/sweep/queue.ts";
import { type FinishedSweep, noteSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep, type SweepState } from "../../src/sweep/sweep-state.ts";
import type { Stack } from "./stack.ts";
import { until } from "./until.ts";

/** Runs a sweep and waits for the refreshes it requested. With `flows`, it runs here instead of in the workers. */
export async function runSweep(stack: Stack, flows?: Pick<Flows, "sweepStep">): Promise<FinishedSweep> {
  const { sweeps, queues } = stack.store;
  // A sweep is logged just before its job ends, and until then no other can be enqueued.
  await until(async () => expect(await currentSweep(queues)).toBeUndefined());
  const before = (await sweeps.last())?.mark.number ?? 0;
  if (flows === undefined) await queues.enqueueSweep();
  else await sweepHere(stack, flows);
  return until(async () => {
    const last = await sweeps.last();
    expect(last?.mark.number ?? 0).toBeGreaterThan(before);
    expect(await queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBe(0);
    return last as FinishedSweep;
  }, 30_000);
}

async function sweepHere({ store }: Stack, { sweepStep }: Pick<Flows, "sweepStep">): Promise<void> {
  const { sweeps, seen, completeness, queues } = store;
  const [number, previous, completeSince] = await Promise.all([
    sweeps.nextNumber(),
    sweeps.last(),
    completeness.since(),
  ]);
  const fill = completeSince === undefined;
  let state: SweepState = beginSweep({ number, previous, now: Date.now(), fill, completeSince });
  await seen.begin(state.mark, state.previous);
  for (let done = false; !done; ) {
    const step = await sweepStep(state, { priority: "bulk", signal: new AbortController().signal });
    await queues.enqueueReprocess(step.refresh);
    ({ state, done } = step);
  }
  await noteSweep(store, state, Date.now());
}
