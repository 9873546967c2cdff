import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Emulator, Fault as KindeFault } from "kinde-emulator";
import { createRandom, deriveSeed } from "../campaign/sim/random.ts";
import type { KindlingProcess, SoakRedis } from "./fleet.ts";

/** What faults strike. */
export interface Stage {
  emulator: Emulator;
  redis: SoakRedis;
  /** A connection of the soak's own. */
  connection: Redis;
  redisPid: () => Promise<number>;
  server: KindlingProcess;
  /** The first one is only killed early on, so that its memory shows. */
  workers: readonly [KindlingProcess, KindlingProcess];
  /** Users that change more often than others. */
  busyUser: (choice: number) => string;
}

/** One fault of a schedule. */
export interface PlannedFault {
  kind: FaultKind;
  /** Milliseconds after the start. */
  at: number;
  /** How long it lasts, as a share of its kind's longest time. */
  share: number;
  choice: number;
}

interface Kind {
  weight: number;
  /** What only one fault at a time can strike. */
  target?: (choice: number) => string;
  /** Only in the first third of a soak. */
  early?: boolean;
  longestMs: number;
  strike: (stage: Stage, ms: number, choice: number) => Promise<unknown> | unknown;
}

const paused = async (one: { pause(): void; resume(): void }, ms: number) => {
  one.pause();
  try {
    await delay(ms);
  } finally {
    one.resume();
  }
};
const killed = async (one: KindlingProcess, ms: number) => {
  await one.kill();
  await delay(ms);
  one.start();
};
const worker = ({ workers }: Stage, choice: number) => workers[choice % 2 === 0 ? 0 : 1];
const ofKinde =
  (fault: (choice: number, stage: Stage) => KindeFault) =>
  ({ emulator, ...stage }: Stage, ms: number, choice: number) => {
    emulator.faults.set({ ...fault(choice, { emulator, ...stage }), forMs: ms, seed: choice });
    return delay(ms);
  };

const kinds = {
  workerKilled: {
    weight: 3,
    target: () => "worker 2",
    longestMs: 5_000,
    strike: ({ workers }, ms) => killed(workers[1], ms),
  },
  steadyWorkerKilled: {
    weight: 3,
    early: true,
    target: () => "worker 1",
    longestMs: 5_000,
    strike: ({ workers }, ms) => killed(workers[0], ms),
  },
  serverKilled: {
    weight: 3,
    early: true,
    target: () => "server",
    longestMs: 5_000,
    strike: ({ server }, ms) => killed(server, ms),
  },
  workerPaused: {
    weight: 4,
    target: (choice) => `worker ${1 + (choice % 2)}`,
    // Longer than the lock of a job.
    longestMs: 45_000,
    strike: (stage, ms, choice) => paused(worker(stage, choice), ms),
  },
  serverPaused: {
    weight: 3,
    target: () => "server",
    longestMs: 10_000,
    strike: ({ server }, ms) => paused(server, ms),
  },
  redisRestart: {
    weight: 3,
    target: () => "redis",
    longestMs: 4_000,
    async strike({ redis }, ms) {
      await redis.kill();
      await delay(ms);
      await redis.start();
    },
  },
  redisPaused: {
    weight: 3,
    target: () => "redis",
    longestMs: 6_000,
    async strike({ redis, redisPid }, ms) {
      const pid = await redisPid();
      await paused({ pause: () => redis.pause(pid), resume: () => redis.resume(pid) }, ms);
    },
  },
  scriptsForgotten: { weight: 3, longestMs: 0, strike: ({ connection }) => connection.script("FLUSH") },
  connectionsBroken: {
    weight: 3,
    longestMs: 0,
    strike: ({ connection }) => connection.client("KILL", "TYPE", "normal", "SKIPME", "yes"),
  },
  subscriptionsBroken: {
    weight: 3,
    longestMs: 0,
    strike: ({ connection }) => connection.client("KILL", "TYPE", "pubsub"),
  },
  throttledFleet: {
    weight: 4,
    longestMs: 6_000,
    strike: ofKinde((choice) => ({ kind: "too_many_requests", resetSeconds: 1 + (choice % 3) })),
  },
  throttledUser: {
    weight: 4,
    longestMs: 30_000,
    strike: ofKinde((choice, { busyUser }) => ({
      kind: "too_many_requests",
      resetSeconds: 2,
      user: busyUser(choice),
    })),
  },
  rateLimit: {
    weight: 3,
    longestMs: 20_000,
    strike: ofKinde(() => ({ kind: "rate_limit", calls: 300, windowMs: 1_000 })),
  },
  outage: {
    weight: 3,
    longestMs: 15_000,
    strike: ofKinde((choice) => ({ kind: "error", status: choice % 2 === 0 ? 500 : 503 })),
  },
  someErrors: {
    weight: 4,
    longestMs: 40_000,
    strike: ofKinde(() => ({ kind: "error", status: 502, probability: 0.2 })),
  },
  gatewayNotFound: {
    weight: 2,
    longestMs: 4_000,
    strike: ofKinde(() => ({ kind: "error", status: 404, path: "/api/v1/user" })),
  },
  latency: { weight: 4, longestMs: 40_000, strike: ofKinde(() => ({ kind: "latency", ms: [100, 1_500] })) },
  hang: { weight: 3, longestMs: 15_000, strike: ofKinde(() => ({ kind: "hang", probability: 0.02 })) },
  reset: { weight: 3, longestMs: 20_000, strike: ofKinde(() => ({ kind: "reset", probability: 0.1 })) },
  garbage: { weight: 2, longestMs: 20_000, strike: ofKinde(() => ({ kind: "garbage", probability: 0.1 })) },
  truncated: { weight: 2, longestMs: 20_000, strike: ofKinde(() => ({ kind: "truncated", probability: 0.1 })) },
  noTokens: {
    weight: 1,
    longestMs: 10_000,
    strike: ofKinde(() => ({ kind: "error", status: 503, path: "/oauth2/token" })),
  },
  noKeys: { weight: 1, longestMs: 20_000, strike: ofKinde(() => ({ kind: "jwks_down" })) },
  newKey: { weight: 1, longestMs: 0, strike: ({ emulator }) => emulator.keys.rotate({ keepOld: true }) },
  laggingCopy: {
    weight: 4,
    longestMs: 20_000,
    strike: ofKinde((choice) => ({ kind: "user_lag", ms: 200 + (choice % 9_000) })),
  },
  laggingIndex: {
    weight: 3,
    longestMs: 40_000,
    strike: ofKinde((choice) => ({ kind: "search_lag", ms: choice % 60_000 })),
  },
  lostDeliveries: {
    weight: 3,
    longestMs: 20_000,
    strike: ofKinde(() => ({ kind: "lose_delivery", probability: 0.3 })),
  },
  lateDeliveries: {
    weight: 3,
    longestMs: 20_000,
    strike: ofKinde(() => ({ kind: "delay_delivery", ms: [0, 4_000] })),
  },
  repeatedDeliveries: {
    weight: 2,
    longestMs: 20_000,
    strike: ofKinde(() => ({ kind: "duplicate_delivery", probability: 0.5 })),
  },
  shuffledDeliveries: {
    weight: 2,
    longestMs: 20_000,
    strike: ofKinde(() => ({ kind: "reorder_deliveries", window: 12 })),
  },
  lostAnswers: { weight: 2, longestMs: 20_000, strike: ofKinde(() => ({ kind: "lose_ack", probability: 0.3 })) },
} satisfies Record<string, Kind>;

export type FaultKind = keyof typeof kinds;

/** Average time between the starts of two faults. */
const meanGapMs = 12_000;

/** Returns the faults of a seed, in order. */
export function planFaults(seed: number, lastsMs: number): PlannedFault[] {
  const random = createRandom(deriveSeed(seed, "faults"));
  const names = Object.keys(kinds) as FaultKind[];
  const planned: PlannedFault[] = [];
  for (let at = meanGapMs / 2; at < lastsMs; at += 2 * meanGapMs * random.next()) {
    const allowed = names.filter((name) => at < lastsMs / 3 || !("early" in kinds[name]));
    const kind = random.weighted(allowed.map((name) => [name, kinds[name].weight] as const));
    planned.push({ kind, at, share: random.next(), choice: random.below(1_000_000) });
  }
  return planned;
}

/** Strikes the planned faults until the signal aborts, then waits for those that last. Returns how often each struck. */
export async function strikeAll(
  planned: readonly PlannedFault[],
  stage: Stage,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Map<FaultKind, number>> {
  const counts = new Map<FaultKind, number>();
  const lasting = new Set<Promise<void>>();
  const struck = new Set<string>();
  const started = performance.now();
  for (const { kind, at, share, choice } of planned) {
    await delay(Math.max(0, started + at - performance.now()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    const { target, longestMs, strike }: Kind = kinds[kind];
    const name = target?.(choice);
    if (name !== undefined && struck.has(name)) continue;
    if (name !== undefined) struck.add(name);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const ms = Math.round(longestMs * share);
    say(`fault: ${kind}${name === undefined ? "" : ` (${name})`}, ${(ms / 1000).toFixed(1)} s`);
    const fault = Promise.resolve()
      .then(() => strike(stage, ms, choice))
      // Redis can be away at this moment.
      .catch((error: unknown) => say(`fault: ${kind} did not work: ${String(error)}`))
      .then(() => {
        if (name !== undefined) struck.delete(name);
        lasting.delete(fault);
      });
    lasting.add(fault);
  }
  await Promise.all(lasting);
  return counts;
}
