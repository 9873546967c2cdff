import type { Completeness } from "../cache/completeness.ts";
import type { SeenUsers } from "../cache/seen-users.ts";
import type { Ledger } from "../queue/ledger.ts";
import type { SweepLog } from "../queue/sweep-log.ts";
import type { SweepState } from "./sweep.ts";

/** Where the end of a sweep is noted. */
export interface NoteSweepOptions {
  sweeps: Pick<SweepLog, "finish">;
  seen: Pick<SeenUsers, "forget">;
  completeness: Pick<Completeness, "mark">;
  users: Pick<Ledger, "size">;
}

/**
 * Notes a sweep that went through. The store is complete once a sweep has found a record of everybody, or made one;
 * users whose refresh gave up are known by name, and do not keep it from being so for ever.
 */
export async function noteSweep(
  { sweeps, seen, completeness, users }: NoteSweepOptions,
  state: SweepState,
  now: number,
): Promise<void> {
  const without = state.missing - state.filled;
  if (without === 0 || without <= (await users.size()).failed) await completeness.mark(now);
  await sweeps.finish(state, now);
  if (state.previous !== null) await seen.forget(state.previous);
}
