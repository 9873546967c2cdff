import type { Redis } from "ioredis";
import { z } from "zod";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";
import type { SeenUsers } from "./seen-users.ts";
import { migrateSweep, sweepStateSchema, sweepVersion } from "./stored-sweep.ts";
import type { SweepState } from "./sweep.ts";

/** The history of sweeps in Redis. */
export interface SweepLog {
  /** Draws a number greater than that of any earlier sweep, also in a store that was wiped in between. */
  nextNumber(): Promise<number>;
  /** Returns the last completed sweep. */
  last(): Promise<FinishedSweep | undefined>;
  /** Records a completed sweep. */
  finish(state: SweepState, finishedAt: number): Promise<void>;
}

/** A completed sweep. Times in milliseconds since the epoch. */
export interface FinishedSweep extends SweepState {
  finishedAt: number;
}

const storedFinishedSweep = storedShape<FinishedSweep>(
  sweepVersion,
  sweepStateSchema.extend({ finishedAt: z.number() }),
  { migrate: migrateSweep },
);

/** Creates the sweep log. */
export function createSweepLog({ redis, keys }: { redis: Redis; keys: Keys }): SweepLog {
  const lastKey = keys.ledgerPart("sweep:last");
  return {
    async nextNumber() {
      // By the clock: a counter would start again in a wiped store, where an old sweep can still be running.
      // ioredis answers TIME with strings.
      const [seconds = 0, microseconds = 0] = await redis.time();
      return Number(seconds) * 1_000_000 + Number(microseconds);
    },
    async last() {
      return storedFinishedSweep.parse(await redis.get(lastKey));
    },
    async finish(state, finishedAt) {
      await redis.set(lastKey, storedFinishedSweep.serialize({ ...state, finishedAt }));
    },
  };
}

/** Dependencies of {@link noteSweep}. */
export interface NoteSweepOptions {
  sweeps: Pick<SweepLog, "last" | "finish">;
  seen: Pick<SeenUsers, "forget">;
  completeness: Pick<Completeness, "mark">;
}

/**
 * Records a completed sweep and marks the store complete if every user had or got a record. Users whose refresh gave
 * up are listed as failures and do not keep the store incomplete forever.
 */
export async function noteSweep(
  { sweeps, seen, completeness }: NoteSweepOptions,
  state: SweepState,
  now: number,
): Promise<void> {
  if (state.missing === state.filled + state.gaveUp) await completeness.mark(now);
  // A sweep and a backfill can overlap: the one that ends later is kept, and the other's filter is deleted.
  const before = await sweeps.last();
  await sweeps.finish(state, now);
  for (const mark of [before?.mark, state.previous])
    if (mark && mark.number !== state.mark.number) await seen.forget(mark);
}

/** Whether the store holds every Kinde user. A new or wiped Redis has no mark. */
export interface Completeness {
  /** Returns when the store became complete, in milliseconds since the epoch; `undefined` while it is incomplete. */
  since(): Promise<number | undefined>;
  /** Marks the store complete. Keeps an earlier mark. */
  mark(now: number): Promise<void>;
}

// A public key: `since` must stay readable without knowing the version.
const storedMark = storedShape(1, z.object({ since: z.number() }), { migrate: (older) => older });

/** Creates the completeness mark. */
export function createCompleteness({ redis, keys }: { redis: Redis; keys: Pick<Keys, "complete"> }): Completeness {
  const since = async () => storedMark.parse(await redis.get(keys.complete))?.since;
  return {
    since,
    async mark(now) {
      const text = storedMark.serialize({ since: now });
      const marked = await redis.set(keys.complete, text, "NX");
      // An unreadable mark must not keep the store incomplete forever.
      if (marked === null && (await since()) === undefined) await redis.set(keys.complete, text);
    },
  };
}
