import type { Redis } from "ioredis";
import { KindeError } from "../errors.ts";
import { estimateTotal } from "../kinde/estimate-total.ts";
import type { Listing, ListingPage } from "../kinde/list-users.ts";
import { patiently } from "../kinde/patiently.ts";
import type { ReportProgress } from "../progress.ts";
import type { Keys } from "../redis/keys.ts";
import { type RefreshQueues, roomInQueue } from "./queues.ts";

/** What a walk over a listing needs. */
export interface WalkOptions {
  listing: Listing;
  queues: Pick<RefreshQueues, "bulk" | "enqueueReprocess">;
  /** Jobs that may wait in the bulk queue before the walk waits too: Redis need not hold a job for every user. */
  backlog: number;
  /** Where the walk's place is kept; left out, it cannot be resumed. */
  bookmark?: Bookmark;
  /** Forget the place of an earlier walk. */
  restart?: boolean;
  onProgress: ReportProgress;
  signal: AbortSignal;
  now: () => number;
}

/** How a walk ended. */
export interface WalkResult {
  /** Users enqueued, an earlier walk's that this one went on with included. */
  enqueued: number;
  /** Of these, by the earlier walk. */
  resumedAt: number;
  /** False: stopped by the signal. */
  complete: boolean;
}

const retries = 3;

/**
 * Enqueues every user of a listing at low priority. The place is noted after each page is enqueued, so that however a
 * walk ends, going on repeats a page at most and skips none.
 */
export async function walk(options: WalkOptions): Promise<WalkResult> {
  const { bookmark, onProgress, queues, signal, now } = options;
  const place = options.restart === true ? undefined : await bookmark?.read();
  const startedAt = place?.startedAt ?? now();
  const resumedAt = place?.enqueued ?? 0;
  let enqueued = resumedAt;
  let cursor = place?.cursor ?? null;
  let total: number | undefined;
  if (place !== undefined) onProgress({ type: "resumed", done: place.enqueued, startedAt: place.startedAt });
  try {
    do {
      await roomInQueue(options);
      const page: ListingPage = await readPage(options, cursor);
      await queues.enqueueReprocess(page.userIds);
      enqueued += page.userIds.length;
      cursor = page.next;
      if (cursor !== null) await bookmark?.write({ cursor, enqueued, startedAt });
      total = cursor === null ? enqueued : estimateTotal(page.userIds, enqueued);
      onProgress({ type: "advanced", done: enqueued, total });
    } while (cursor !== null);
    await bookmark?.remove();
    return { enqueued, resumedAt, complete: true };
  } catch (error) {
    if (!signal.aborted) throw error;
    return { enqueued, resumedAt, complete: false };
  }
}

function readPage({ listing, signal, onProgress }: WalkOptions, cursor: string | null): Promise<ListingPage> {
  return patiently(
    async () => {
      try {
        return await listing(cursor, { priority: "bulk", signal });
      } catch (error) {
        // How long Kinde keeps a cursor is not documented: one it no longer takes must not block the walk for ever.
        if (cursor === null || !(error instanceof KindeError) || error.status !== 400) throw error;
        throw new KindeError(
          "kinde_rejected",
          "Kinde does not take the place of the earlier run any more: run again with --restart.",
          { cause: error, status: error.status },
        );
      }
    },
    { signal, retries, onWait: (ms) => onProgress({ type: "waiting", for: "Kinde", ms }) },
  );
}

/** Where a walk over all users stands. */
export interface Place {
  /** Of the page to read next. */
  cursor: string;
  /** Users enqueued before it. */
  enqueued: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

/** Keeps the place of the walk over all users, in Redis, so that any machine can go on. */
export interface Bookmark {
  read(): Promise<Place | undefined>;
  write(place: Place): Promise<void>;
  remove(): Promise<void>;
}

/** The one bookmark of a deployment. */
export function createBookmark(redis: Redis, keys: Keys): Bookmark {
  const key = keys.ledgerPart("reprocess");
  return {
    async read() {
      const { cursor, enqueued, startedAt } = await redis.hgetall(key);
      if (cursor === undefined) return undefined;
      return { cursor, enqueued: Number(enqueued ?? 0), startedAt: Number(startedAt ?? 0) };
    },
    async write(place) {
      await redis.hset(key, place);
    },
    async remove() {
      await redis.del(key);
    },
  };
}
