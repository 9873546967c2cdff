import { randomBytes } from "node:crypto";
import { z } from "zod";
import { ThrottledError } from "../errors.ts";
import type { CallBudget, Priority } from "../kinde/call-budget.ts";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { booleanAnswer, defineScript, noAnswer } from "./script.ts";

/** Options for {@link createCallBudget}. */
export interface CallBudgetOptions {
  redis: RedisClient;
  keys: Keys;
  perMinute: number;
  atOnce: number;
  /** When a call whose process died counts as finished, in milliseconds. Must exceed the time-out of a call. */
  leaseMs: number;
}

interface BudgetKeys {
  stateKey: string;
  leasesKey: string;
  limitedKey: string;
}

interface BudgetInput extends BudgetKeys {
  perMinute: number;
  atOnce: number;
}

interface TakeInput extends BudgetInput {
  priority: Priority;
  leaseMs: number;
  calls: readonly { markerKey: string; lease: string }[];
  /** Leases of calls that have ended. */
  ended: readonly string[];
}

const takeCalls = defineScript("take-calls", {
  call: (input: TakeInput) => ({
    keys: [input.stateKey, input.leasesKey, input.limitedKey, ...input.calls.map(({ markerKey }) => markerKey)],
    args: [
      input.perMinute,
      input.atOnce,
      input.priority,
      input.leaseMs,
      ...input.calls.map(({ lease }) => lease),
      ...input.ended,
    ],
  }),
  answer: z
    .tuple([z.number(), booleanAnswer], z.int().min(-1))
    .transform(([waitMs, forEnd, ...calls]) => ({ waitMs, forEnd, calls })),
});

const readCallBudget = defineScript("read-call-budget", {
  call: (input: BudgetInput) => ({
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
  call: (input: BudgetKeys & { markerKey: string; subject: string; ms: number }) => ({
    keys: [input.stateKey, input.leasesKey, input.limitedKey, input.markerKey],
    args: [input.subject, input.ms, callsBetween, subjectsInRow],
  }),
  answer: booleanAnswer,
});

const pauseCalls = defineScript("pause-calls", {
  call: (input: BudgetKeys & { ms: number }) => ({
    keys: [input.stateKey, input.leasesKey, input.limitedKey],
    args: [input.ms],
  }),
  answer: noAnswer,
});

/** Calls taken, and leases removed, in one round trip at most. */
const batchSize = 100;

/**
 * Creates a call budget that all processes with the same keys and limits share through Redis. The calls that a process
 * wants to make at the same moment share a round trip, and so do those that end.
 */
export function createCallBudget(options: CallBudgetOptions): CallBudget {
  const { redis, keys, perMinute, atOnce, leaseMs } = options;
  const leasesKey = `${keys.callBudget}:leases`;
  const limitedKey = `${keys.callBudget}:limited`;
  const budgetKeys: BudgetKeys = { stateKey: keys.callBudget, leasesKey, limitedKey };
  const markerKey = (subject: string) => `${limitedKey}:${subject}`;
  const budget: BudgetInput = { ...budgetKeys, perMinute, atOnce };
  const defaultPatienceMs = Math.max(2_000, 8 * (60_000 / perMinute));
  const owner = randomBytes(9).toString("base64url");
  let calls = 0;
  const ended: string[] = [];
  let releasing = false;

  const takeEnded = () => ended.splice(0, batchSize);
  // Not awaited: a lease that is not removed expires.
  const release = () => {
    releasing = false;
    while (ended.length > 0) redis.zrem(leasesKey, ...takeEnded()).catch(() => undefined);
  };
  const lineOf = (priority: Priority) =>
    createLine(async (callers) => {
      const wanted = callers.map(({ subject, lease }) => ({ markerKey: markerKey(subject), lease }));
      return takeCalls(redis, { ...budget, priority, leaseMs, calls: wanted, ended: takeEnded() });
    }, end);
  const lines: Record<Priority, Line> = {
    webhook: lineOf("webhook"),
    request: lineOf("request"),
    bulk: lineOf("bulk"),
  };
  function end(lease: string): void {
    ended.push(lease);
    // Of several lines that wait for this, the first to ask takes the lease along.
    for (const line of Object.values(lines)) line.noteEnd();
    if (releasing) return;
    releasing = true;
    setImmediate(release);
  }

  return {
    async run(priority, call, { subject = "", signal, patienceMs = defaultPatienceMs } = {}) {
      const lease = `${priority}:${owner}:${++calls}`;
      await lines[priority].wait({ subject, lease, signal, deadline: performance.now() + patienceMs });
      try {
        return await call();
      } finally {
        end(lease);
      }
    },

    async limit(subject, ms) {
      const input = { ...budgetKeys, markerKey: markerKey(subject), subject, ms: Math.ceil(ms) };
      return (await limitSubject(redis, input)) ? "all" : "one";
    },

    async pause(ms) {
      await pauseCalls(redis, { ...budgetKeys, ms: Math.ceil(ms) });
    },

    state: () => readCallBudget(redis, budget),
  };
}

/** A call that waits for its turn. */
interface Caller {
  subject: string;
  lease: string;
  signal: AbortSignal | undefined;
  /** As `performance.now()`. */
  deadline: number;
}

/** The callers of one priority in this process, in their order. */
interface Line {
  /**
   * Resolves when the call is granted.
   *
   * @throws {ThrottledError} as {@link CallBudget.run}
   */
  wait(caller: Caller): Promise<void>;
  /** Notes that a call of this process has ended: the line asks again if it waits for that. */
  noteEnd(): void;
}

/** Creates a line. `ask` asks Redis; `end` returns the lease of a call that was granted too late. */
function createLine(
  ask: (callers: readonly Caller[]) => Promise<{ waitMs: number; forEnd: boolean; calls: readonly number[] }>,
  end: (lease: string) => void,
): Line {
  type Waiting = Caller & { resolve: () => void; reject: (error: unknown) => void; leave?: () => void };
  let waiting: Waiting[] = [];
  let serving = false;
  let sleep: { until: number; forEnd: boolean; wake: () => void } | undefined;

  const settle = (caller: Waiting, error?: unknown) => {
    if (caller.leave !== undefined) caller.signal?.removeEventListener("abort", caller.leave);
    if (error === undefined) caller.resolve();
    else caller.reject(error);
  };
  // Only once a caller has to wait: most are granted a call by the first answer.
  const listen = (caller: Waiting) => {
    if (caller.leave !== undefined) return;
    caller.leave = () => {
      waiting = waiting.filter((other) => other !== caller);
      settle(caller, caller.signal?.reason);
      if (waiting.length === 0) sleep?.wake();
    };
    caller.signal?.addEventListener("abort", caller.leave);
  };
  const keepPatient = (waitMs: number) => {
    const at = performance.now() + waitMs;
    const impatient = waiting.filter(({ deadline }) => deadline < at);
    waiting = waiting.filter(({ deadline }) => deadline >= at);
    for (const caller of impatient) settle(caller, new ThrottledError(waitMs));
    for (const caller of waiting) listen(caller);
  };
  const pause = (ms: number, forEnd: boolean) =>
    new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        sleep = undefined;
        resolve();
      };
      const timer = setTimeout(wake, ms);
      sleep = { until: performance.now() + ms, forEnd, wake };
    });

  const askFor = async (callers: readonly Waiting[]) => {
    const { waitMs, forEnd, calls } = await ask(callers);
    const left: Waiting[] = [];
    callers.forEach((caller, index) => {
      const answer = calls[index] ?? -1;
      if (caller.signal?.aborted) {
        if (answer === 0) end(caller.lease);
        settle(caller, caller.signal.reason);
      } else if (answer === 0) settle(caller);
      // Not waited for here, where other callers wait behind this one.
      else if (answer > 0) settle(caller, new ThrottledError(answer, { scope: "one" }));
      else left.push(caller);
    });
    if (left.length === 0) return;
    waiting = [...left, ...waiting];
    keepPatient(waitMs);
    if (waiting.length > 0) await pause(waitMs, forEnd);
  };
  const serve = async () => {
    while (waiting.length > 0) {
      const callers = waiting.splice(0, batchSize);
      try {
        await askFor(callers);
      } catch (error) {
        for (const caller of callers) settle(caller, error);
      }
    }
    serving = false;
  };

  return {
    wait: (caller) =>
      new Promise((resolve, reject) => {
        if (caller.signal?.aborted) return reject(caller.signal.reason);
        const added: Waiting = { ...caller, resolve, reject };
        waiting.push(added);
        if (sleep !== undefined) {
          listen(added);
          if (caller.deadline < sleep.until) sleep.wake();
        }
        if (serving) return;
        serving = true;
        // Once everything that this turn of the event loop starts is in line.
        setImmediate(serve);
      }),
    noteEnd() {
      if (sleep?.forEnd) sleep.wake();
    },
  };
}
