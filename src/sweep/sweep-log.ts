import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { readClock } from "../redis/ledger-scripts.ts";
import { storedShape } from "../redis/stored.ts";
import type { Completeness } from "./completeness.ts";
import type { IndexLag } from "./index-lag.ts";
import type { ListedUsers } from "./listed-users.ts";
import type { SeenUsers } from "./seen-users.ts";
import { migrateSweep, sweepStateSchema, sweepVersion } from "./stored-sweep.ts";
import type { SweepState } from "./sweep-state.ts";

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
export function createSweepLog({ redis, keys }: { redis: RedisClient; keys: Keys }): SweepLog {
  const lastKey = keys.ledgerPart("sweep:last");
  return {
    async nextNumber() {
      // By the clock: a counter would start again in a wiped store, where an old sweep can still be running.
      return readClock(redis, { key: lastKey });
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
  listed: Pick<ListedUsers, "forget">;
  completeness: Pick<Completeness, "mark" | "clear" | "counted" | "recheck">;
  indexLag: Pick<IndexLag, "observe">;
}

/**
 * Records a completed sweep. Marks the store complete if the sweep counted a record for every user it listed; removes the
 * mark if it found that records were lost.
 */
export async function noteSweep(options: NoteSweepOptions, state: SweepState, now: number): Promise<void> {
  const { sweeps, seen, completeness, indexLag } = options;
  await indexLag.observe(state.lag, now);
  if (state.verified) await markComplete(options, state, now);
  else if (state.lost > 0) await completeness.clear();
  // A sweep and a backfill can overlap: the one that ends later is kept, and the other's filter is deleted.
  const before = await sweeps.last();
  await sweeps.finish(state, now);
  for (const mark of [before?.mark, state.previous])
    if (mark && mark.number !== state.mark.number) await seen.forget(mark);
}

async function markComplete({ completeness, listed }: NoteSweepOptions, state: SweepState, now: number) {
  // Noted before, by a process that died or by another sweep since: there is nothing to earn.
  if ((await completeness.recheck()) !== undefined && (await completeness.counted())) {
    await listed.forget(state.mark);
    return;
  }
  await completeness.mark(state.mark.number, now);
  // Deletes what the sweep listed. If it is gone already, the ledger was wiped after the count: records can be missing, too.
  if (!(await listed.forget(state.mark))) await completeness.clear();
}
