import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import type { SeenUsers } from "./seen-users.ts";
import type { SweepState } from "./sweep.ts";

/** What is known of sweeps. */
export interface SweepLog {
  /** A number no sweep had before. */
  nextNumber(): Promise<number>;
  last(): Promise<FinishedSweep | undefined>;
  /** Notes a sweep that went through. */
  finish(state: SweepState, finishedAt: number): Promise<void>;
}

/** A sweep that went through; times in milliseconds since the epoch. */
export interface FinishedSweep extends SweepState {
  finishedAt: number;
}

/** The log, over one connection. */
export function createSweepLog({ redis, keys }: { redis: Redis; keys: Keys }): SweepLog {
  const lastKey = keys.ledgerPart("sweep:last");
  return {
    nextNumber: () => redis.incr(keys.ledgerPart("sweep:number")),
    async last() {
      const text = await redis.get(lastKey);
      return text === null ? undefined : (JSON.parse(text) as FinishedSweep);
    },
    async finish(state, finishedAt) {
      const finished: FinishedSweep = { ...state, finishedAt };
      await redis.set(lastKey, JSON.stringify(finished));
    },
  };
}

/** Where the end of a sweep is noted. */
export interface NoteSweepOptions {
  sweeps: Pick<SweepLog, "last" | "finish">;
  seen: Pick<SeenUsers, "forget">;
  completeness: Pick<Completeness, "mark">;
}

/**
 * Notes a sweep that went through. The store is complete once a sweep has found a record of everybody, or made one;
 * users whose refresh gave up are known by name, and do not keep it from being so for ever.
 */
export async function noteSweep(
  { sweeps, seen, completeness }: NoteSweepOptions,
  state: SweepState,
  now: number,
): Promise<void> {
  if (state.missing === state.filled + state.gaveUp) await completeness.mark(now);
  // Two may overlap, a sweep and a backfill: whichever ends later stands, and nothing of the other stays behind.
  const before = await sweeps.last();
  await sweeps.finish(state, now);
  for (const mark of [before?.mark, state.previous])
    if (mark && mark.number !== state.mark.number) await seen.forget(mark);
}

/** Whether the store holds everybody Kinde has. A wiped or new Redis has no mark, which is how it is told from a full one. */
export interface Completeness {
  /** Since when, milliseconds since the epoch; `undefined` while it is not filled. */
  since(): Promise<number | undefined>;
  /** Notes that everybody is held; an earlier note stands. */
  mark(now: number): Promise<void>;
}

/** The mark, over one connection. */
export function createCompleteness({ redis, keys }: { redis: Redis; keys: Pick<Keys, "complete"> }): Completeness {
  return {
    async since() {
      const text = await redis.get(keys.complete);
      return text === null ? undefined : (JSON.parse(text) as { since: number }).since;
    },
    async mark(now) {
      await redis.set(keys.complete, JSON.stringify({ since: now }), "NX");
    },
  };
}
