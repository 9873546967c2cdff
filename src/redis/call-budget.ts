import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { z } from "zod";
import { ThrottledError } from "../errors.ts";
import type { CallBudget, Priority } from "../kinde/call-budget.ts";
import type { Keys } from "./keys.ts";
import { booleanAnswer, defineScript, noAnswer } from "./script.ts";

/** Options for {@link createCallBudget}. */
export interface CallBudgetOptions {
  redis: Redis;
  keys: Keys;
  perMinute: number;
  atOnce: number;
  /** When a call whose process died counts as finished, in milliseconds. Must exceed the time-out of a call. */
  leaseMs: number;
}

/** How long a call waits for its turn. */
interface Patience {
  signal: AbortSignal | undefined;
  /** As `performance.now()`. */
  deadline: number;
}

interface BudgetInput {
  stateKey: string;
  leasesKey: string;
  perMinute: number;
  atOnce: number;
}

const takeCall = defineScript("take-call", {
  call: (input: BudgetInput & { markerKey: string; priority: Priority; lease: string; leaseMs: number }) => ({
    keys: [input.stateKey, input.leasesKey, input.markerKey],
    args: [input.perMinute, input.atOnce, input.priority, input.lease, input.leaseMs],
  }),
  answer: z
    .tuple([booleanAnswer, z.number(), booleanAnswer])
    .transform(([granted, waitMs, limited]) => ({ granted, waitMs, limited })),
});

const readCallBudget = defineScript("read-call-budget", {
  call: (input: BudgetInput & { limitedKey: string }) => ({
    keys: [input.stateKey, input.leasesKey, input.limitedKey],
    args: [input.perMinute, input.atOnce],
  }),
  answer: z
    .tuple([z.number(), z.number(), z.number(), z.int()])
    .transform(([pausedMs, inUse, available, limited]) => ({ pausedMs, inUse, available, limited })),
});

/** This many subjects in a row pause all calls; this many calls granted in between end the row. */
const [subjectsInRow, callsBetween] = [3, 10];

const limitSubject = defineScript("limit-subject", {
  call: (input: { stateKey: string; limitedKey: string; markerKey: string; subject: string; ms: number }) => ({
    keys: [input.stateKey, input.limitedKey, input.markerKey],
    args: [input.subject, input.ms, callsBetween, subjectsInRow],
  }),
  answer: booleanAnswer,
});

const pauseCalls = defineScript("pause-calls", {
  call: (input: Pick<BudgetInput, "stateKey" | "leasesKey"> & { ms: number }) => ({
    keys: [input.stateKey, input.leasesKey],
    args: [input.ms],
  }),
  answer: noAnswer,
});

/** Creates a call budget that all processes with the same keys and limits share through Redis. */
export function createCallBudget(options: CallBudgetOptions): CallBudget {
  const { redis, keys, perMinute, atOnce, leaseMs } = options;
  const stateKey = keys.callBudget;
  const leasesKey = `${keys.callBudget}:leases`;
  const limitedKey = `${keys.callBudget}:limited`;
  const markerKey = (subject: string) => `${limitedKey}:${subject}`;
  const budget: BudgetInput = { stateKey, leasesKey, perMinute, atOnce };
  // For each priority, one caller per process asks Redis at a time. The others queue in memory.
  const queues: Record<Priority, Promise<void>> = {
    webhook: Promise.resolve(),
    request: Promise.resolve(),
    bulk: Promise.resolve(),
  };
  const sleepers = new Set<() => void>();
  const defaultPatienceMs = Math.max(2_000, 8 * (60_000 / perMinute));

  const take = async (priority: Priority, subject: string, lease: string, { deadline, signal }: Patience) => {
    for (;;) {
      signal?.throwIfAborted();
      const input = { ...budget, markerKey: markerKey(subject), priority, lease, leaseMs };
      const { granted, waitMs, limited } = await takeCall(redis, input);
      if (granted) return;
      // Not waited for here, where other callers wait behind this one.
      if (limited) throw new ThrottledError(waitMs, { scope: "one" });
      if (performance.now() + waitMs > deadline) throw new ThrottledError(waitMs);
      await sleep(waitMs, signal, (wake) => sleepers.add(wake));
    }
  };

  // Resolves on time-out, abort or wake-up: the caller checks which. Removes its own listener because
  // `AbortSignal.any` leaks a little memory per call on a long-lived signal.
  const sleep = (ms: number, signal: AbortSignal | undefined, onStart: (wake: () => void) => void) =>
    new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        sleepers.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal?.addEventListener("abort", wake);
      onStart(wake);
      // A signal that is already aborted fires no event.
      if (signal?.aborted) wake();
    });

  // Callers that time out or abort leave the queue, then ask Redis once: it either grants the call or says when to
  // retry. So a caller's patience bounds its wait, however patient the callers ahead are.
  const waitTurn = async (priority: Priority, { deadline, signal }: Patience, task: () => Promise<void>) => {
    const ahead = queues[priority];
    let leave = () => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    queues[priority] = ahead.then(() => left);
    try {
      await sleep(deadline - performance.now(), signal, (wake) => void ahead.then(wake));
      await task();
    } finally {
      leave();
    }
  };

  return {
    async run(priority, call, { subject = "", signal, patienceMs = defaultPatienceMs } = {}) {
      const lease = randomUUID();
      const patience = { signal, deadline: performance.now() + patienceMs };
      await waitTurn(priority, patience, () => take(priority, subject, lease, patience));
      try {
        return await call();
      } finally {
        // Not awaited: a lease that is not removed expires.
        redis.zrem(leasesKey, lease).then(
          () => {
            for (const wake of sleepers) wake();
          },
          () => undefined,
        );
      }
    },

    async limit(subject, ms) {
      const input = { stateKey, limitedKey, markerKey: markerKey(subject), subject, ms: Math.ceil(ms) };
      return (await limitSubject(redis, input)) ? "all" : "one";
    },

    async pause(ms) {
      await pauseCalls(redis, { stateKey, leasesKey, ms: Math.ceil(ms) });
    },

    state: () => readCallBudget(redis, { ...budget, limitedKey }),
  };
}
