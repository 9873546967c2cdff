import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
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
