import type { Completeness } from "./completeness.ts";
import type { SeenUsers } from "./seen-users.ts";
import type { SweepState } from "./sweep.ts";
import type { SweepLog } from "./sweep-log.ts";

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
