import type { Redis } from "ioredis";
import { KindlingError } from "kindling";
import { estimateTotal } from "../kinde/estimate-total.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { patiently } from "../kinde/patiently.ts";
import type { ReportProgress } from "../progress.ts";
import type { Keys } from "../redis/keys.ts";
import { type RefreshQueues, roomInQueue } from "../refresh/queues.ts";
import { beginSweep, type SweepState, type SweepStep } from "./sweep.ts";
import { type NoteSweepOptions, noteSweep, type SweepLog } from "./sweep-log.ts";

/** What a backfill needs. */
export interface BackfillOptions extends Omit<NoteSweepOptions, "sweeps"> {
  queues: Pick<RefreshQueues, "bulk" | "enqueueReprocess">;
  sweeps: SweepLog;
  sweepStep: (state: SweepState, call: CallOptions) => Promise<SweepStep>;
  /** Calls to Kinde since it was last asked. */
  takeCalls: () => number;
  bookmark: SweepBookmark;
  /** Forget the place of an earlier run. */
  restart: boolean;
  /** Jobs that may wait in the bulk queue before the walk waits too. */
  backlog: number;
  onProgress: ReportProgress;
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
  const { queues, sweepStep, takeCalls, bookmark, onProgress, signal, now } = options;
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
  if (place !== undefined) onProgress({ type: "resumed", done: state.users, startedAt: state.startedAt });
  try {
    while (state.phase === "listing") {
      await roomInQueue(options);
      const begun = state.cursor !== null;
      const step = await patiently(() => sweepStep(state, { priority: "bulk", signal }), {
        signal,
        retries,
        onWait: (ms) => onProgress({ type: "waiting", for: "Kinde", ms }),
      });
      await queues.enqueueReprocess(step.refresh);
      state = step.state;
      calls += takeCalls();
      enqueued += step.refresh.length;
      if (begun) await checkPlace(options, state);
      await bookmark.write({ state, enqueued, calls });
      const listed = state.phase !== "listing";
      const total = listed ? state.users : estimateTotal([state.cursor ?? ""], state.users);
      onProgress({ type: "advanced", done: state.users, total, calls });
    }
    await noteSweep(options, state, now());
    await bookmark.remove();
    return result(true);
  } catch (error) {
    if (!signal.aborted) throw error;
    return result(false);
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

/** The same API, and how many calls were made since it was last asked. */
export function countCalls(api: ManagementApi): { api: ManagementApi; take(): number } {
  let calls = 0;
  return {
    api: {
      get(call, options) {
        calls += 1;
        return api.get(call, options);
      },
      send(change, options) {
        calls += 1;
        return api.send(change, options);
      },
    },
    take() {
      const taken = calls;
      calls = 0;
      return taken;
    },
  };
}

/** Where a backfill stands. */
export interface BackfillPlace {
  state: SweepState;
  enqueued: number;
  calls: number;
}

/** Keeps the place of the backfill in Redis, so that any machine can go on. */
export interface SweepBookmark {
  read(): Promise<BackfillPlace | undefined>;
  write(place: BackfillPlace): Promise<void>;
  remove(): Promise<void>;
}

/** The one bookmark of a deployment. */
export function createSweepBookmark(redis: Redis, keys: Keys): SweepBookmark {
  const key = keys.ledgerPart("backfill");
  return {
    async read() {
      const text = await redis.get(key);
      return text === null ? undefined : (JSON.parse(text) as BackfillPlace);
    },
    async write(place) {
      await redis.set(key, JSON.stringify(place));
    },
    async remove() {
      await redis.del(key);
    },
  };
}
