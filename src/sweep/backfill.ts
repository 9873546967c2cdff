import { setTimeout as delay } from "node:timers/promises";
import { KindlingError } from "kindling";
import { z } from "zod";
import { estimateTotal } from "../kinde/ids.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { patiently } from "../kinde/patiently.ts";
import type { ReportProgress } from "../progress.ts";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";
import { type RefreshQueues, roomInQueue } from "../refresh/queues.ts";
import type { Completeness } from "./completeness.ts";
import type { SeenUsers } from "./seen-users.ts";
import { migrateSweep, sweepStateSchema, sweepVersion } from "./stored-sweep.ts";
import type { SweepStep } from "./sweep.ts";
import { type NoteSweepOptions, noteSweep, type SweepLog } from "./sweep-log.ts";
import { beginSweep, type SweepState } from "./sweep-state.ts";

/** Options for {@link backfill}. */
export interface BackfillOptions extends Omit<NoteSweepOptions, "sweeps" | "seen" | "completeness"> {
  queues: Pick<RefreshQueues, "bulk" | "enqueueSwept">;
  sweeps: SweepLog;
  seen: Pick<SeenUsers, "begin" | "forget">;
  completeness: Pick<Completeness, "since" | "mark" | "clear" | "counted" | "recheck">;
  sweepStep: (state: SweepState, call: CallOptions) => Promise<SweepStep>;
  /** Returns the number of calls to Kinde since it was last called. */
  takeCalls: () => number;
  bookmark: SweepBookmark;
  /** Discards the saved position of an interrupted run. */
  restart: boolean;
  /** The backfill pauses while this many jobs wait in the bulk queue. */
  backlog: number;
  onProgress: ReportProgress;
  signal: AbortSignal;
  now: () => number;
}

/** Result of a backfill. The counts include the interrupted run it resumed. */
export interface BackfillResult {
  /** Users listed by Kinde. */
  users: number;
  /** Users without a record that got one from a page. */
  filled: number;
  /** Users enqueued for an individual refresh: their list entry is incomplete, or their record differs. */
  enqueued: number;
  /** Calls made to Kinde. */
  calls: number;
  /** Users already processed by the interrupted run. */
  resumedAt: number;
  /** False if the signal stopped the backfill. */
  complete: boolean;
}

const retries = 3;

/**
 * Pages through all Kinde users, creates missing records and enqueues a refresh for users it cannot fill from a page.
 *
 * @throws {KindlingError} `place_lost` if Redis was wiped or another backfill took over
 */
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
    // Users who are not listed are left to the sweeps.
    while (state.phase === "listing" || state.phase === "holding") {
      await roomInQueue(options);
      const resumed = state.cursor !== null;
      const step = await patiently(() => sweepStep(state, { priority: "bulk", signal }), {
        signal,
        retries,
        onWait: (ms) => onProgress({ type: "waiting", for: "Kinde", ms }),
      });
      enqueued += await queues.enqueueSwept(step);
      state = step.state;
      calls += takeCalls();
      if (resumed) await checkPlace(options, state);
      await bookmark.write({ state, enqueued, calls });
      const listed = state.phase !== "listing";
      const total = listed ? state.users : estimateTotal([state.cursor ?? ""], state.users);
      onProgress({ type: "advanced", done: state.users, total, calls });
      if (step.waitMs !== undefined) {
        onProgress({ type: "waiting", for: "Kinde", ms: step.waitMs });
        await delay(step.waitMs, undefined, { signal }).catch(() => undefined);
      }
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

// A wiped Redis has lost the records of earlier pages: completing this run would mark an incomplete store complete.
async function checkPlace({ bookmark }: BackfillOptions, { mark }: SweepState): Promise<void> {
  if ((await bookmark.read())?.state.mark.number === mark.number) return;
  throw new KindlingError(
    "place_lost",
    "The saved position of this backfill is gone: Redis was wiped meanwhile, or another backfill took over. " +
      "Run the command again.",
  );
}

async function begin({ sweeps, seen, completeness, now }: BackfillOptions): Promise<SweepState> {
  const [number, previous, completeSince] = await Promise.all([
    sweeps.nextNumber(),
    sweeps.last(),
    completeness.since(),
  ]);
  const state = beginSweep({ number, previous, now: now(), fill: true, completeSince });
  await seen.begin(state.mark, state.previous);
  return state;
}

/** Wraps the Management API to count calls. `take` returns the number of calls since it was last called. */
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

/** Saved position and counts of a backfill. */
export interface BackfillPlace {
  state: SweepState;
  enqueued: number;
  calls: number;
}

/** Keeps the position of a backfill in Redis, so that any machine can resume it. */
export interface SweepBookmark {
  read(): Promise<BackfillPlace | undefined>;
  write(place: BackfillPlace): Promise<void>;
  remove(): Promise<void>;
}

const storedPlace = storedShape<BackfillPlace>(
  sweepVersion,
  z.object({ state: sweepStateSchema, enqueued: z.int().nonnegative(), calls: z.int().nonnegative() }),
  { migrate: ({ state, ...counts }) => ({ ...counts, state: migrateSweep(state) }) },
);

/** Creates the bookmark. A deployment has one. */
export function createSweepBookmark(redis: RedisClient, keys: Keys): SweepBookmark {
  const key = keys.ledgerPart("backfill");
  return {
    async read() {
      return storedPlace.parse(await redis.get(key));
    },
    async write(place) {
      await redis.set(key, storedPlace.serialize(place));
    },
    async remove() {
      await redis.del(key);
    },
  };
}
