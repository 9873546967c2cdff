import { KindlingError } from "kindling";
import type { Progress } from "../cli/progress.ts";
import { estimateTotal } from "../kinde/estimate-total.ts";
import type { CallOptions } from "../kinde/management-api.ts";
import { patiently } from "../kinde/patiently.ts";
import type { Queues } from "../redis/queues.ts";
import { roomInQueue } from "../redis/room-in-queue.ts";
import type { BackfillPlace, SweepBookmark } from "./backfill-place.ts";
import { type NoteSweepOptions, noteSweep } from "./note-sweep.ts";
import { beginSweep, type SweepState, type SweepStep } from "./sweep.ts";
import type { SweepLog } from "./sweep-log.ts";

/** What a backfill needs. */
export interface BackfillOptions extends Omit<NoteSweepOptions, "sweeps"> {
  queues: Pick<Queues, "bulk" | "enqueueReprocess">;
  sweeps: SweepLog;
  sweepStep: (state: SweepState, call: CallOptions) => Promise<SweepStep>;
  /** Calls to Kinde since it was last asked. */
  takeCalls: () => number;
  bookmark: SweepBookmark;
  /** Forget the place of an earlier run. */
  restart: boolean;
  /** Jobs that may wait in the bulk queue before the walk waits too. */
  backlog: number;
  progress: Progress;
  signal: AbortSignal;
  now: () => number;
}

/** How a backfill went; an earlier, interrupted run's figures are in it. */
export interface BackfillResult {
  /** Users Kinde listed. */
  users: number;
  /** Of these, who had no record and got one from a page. */
  filled: number;
  /** Of these, who are refreshed one by one: their flags need more than a page shows, or their record differs. */
  enqueued: number;
  /** Made to Kinde. */
  calls: number;
  /** Users an earlier run had dealt with. */
  resumedAt: number;
  /** False: stopped by the signal. */
  complete: boolean;
}

const retries = 3;

/** Walks over all of Kinde's users, and makes records of those who have none. */
export async function backfill(options: BackfillOptions): Promise<BackfillResult> {
  const { queues, sweepStep, takeCalls, bookmark, progress, signal, now } = options;
  const place = await resume(options);
  let state = place?.state ?? (await begin(options));
  const resumedAt = state.users;
  let { enqueued = 0, calls = 0 } = place ?? {};
  const result = (complete: boolean) => ({
    users: state.users,
    filled: state.filled,
    enqueued,
    calls,
    resumedAt,
    complete,
  });
  progress.start(place && { cursor: state.cursor ?? "", enqueued: state.users, startedAt: state.startedAt });
  try {
    while (state.phase === "listing") {
      await roomInQueue(options);
      const begun = state.cursor !== null;
      const step = await patiently(() => sweepStep(state, { priority: "bulk", signal }), {
        signal,
        retries,
        onWait: (ms) => progress.waiting("Kinde", ms),
      });
      await queues.enqueueReprocess(step.refresh);
      state = step.state;
      calls += takeCalls();
      enqueued += step.refresh.length;
      if (begun) await checkPlace(options, state);
      await bookmark.write({ state, enqueued, calls });
      const listed = state.phase !== "listing";
      progress.update(state.users, listed ? state.users : estimateTotal([state.cursor ?? ""], state.users), calls);
    }
    await noteSweep(options, state, now());
    await bookmark.remove();
    return result(true);
  } catch (error) {
    if (!signal.aborted) throw error;
    return result(false);
  } finally {
    progress.stop();
  }
}

async function resume({ restart, bookmark, seen }: BackfillOptions): Promise<BackfillPlace | undefined> {
  const place = await bookmark.read();
  if (!restart || place === undefined) return place;
  await seen.forget(place.state.mark);
  await bookmark.remove();
  return undefined;
}

// What the pages before have filled is gone with a Redis that was wiped meanwhile: such a run must not come to an end.
async function checkPlace({ bookmark }: BackfillOptions, { mark }: SweepState): Promise<void> {
  if ((await bookmark.read())?.state.mark.number === mark.number) return;
  throw new KindlingError(
    "place_lost",
    "The place of this run is gone from Redis: it was wiped meanwhile, or another run took over. Run it again.",
  );
}

async function begin({ sweeps, now }: BackfillOptions): Promise<SweepState> {
  const [number, previous] = await Promise.all([sweeps.nextNumber(), sweeps.last()]);
  return beginSweep({ number, previous, now: now(), fill: true });
}
