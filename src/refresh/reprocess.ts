import { z } from "zod";
import { KindeError } from "../errors.ts";
import { estimateTotal } from "../kinde/ids.ts";
import type { Listing, ListingPage } from "../kinde/list-users.ts";
import { follow, type Trail } from "../kinde/paging.ts";
import { patiently } from "../kinde/patiently.ts";
import type { ReportProgress } from "../progress.ts";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";
import { type RefreshQueues, roomInQueue } from "./queues.ts";

/** Options for {@link walk}. */
export interface WalkOptions {
  listing: Listing;
  queues: Pick<RefreshQueues, "bulk" | "enqueueReprocess">;
  /** The walk pauses while this many jobs wait in the bulk queue, so that Redis does not hold a job for every user. */
  backlog: number;
  /** Keeps the position. Without it, the walk cannot be resumed. */
  bookmark?: Bookmark;
  /** Discards the saved position of an interrupted walk. */
  restart?: boolean;
  onProgress: ReportProgress;
  signal: AbortSignal;
  now: () => number;
}

/** Result of a walk. */
export interface WalkResult {
  /** Users enqueued, including those of the interrupted walk that this one resumed. */
  enqueued: number;
  /** Users enqueued by the interrupted walk. */
  resumedAt: number;
  /** False if the signal stopped the walk. */
  complete: boolean;
}

const retries = 3;

/**
 * Enqueues every user of a listing at low priority. The position is saved after each page, so that a resumed walk
 * repeats at most one page and skips none.
 */
export async function walk(options: WalkOptions): Promise<WalkResult> {
  const { bookmark, onProgress, queues, signal, now } = options;
  const place = options.restart === true ? undefined : await bookmark?.read();
  const startedAt = place?.startedAt ?? now();
  const resumedAt = place?.enqueued ?? 0;
  let enqueued = resumedAt;
  let cursor = place?.cursor ?? null;
  let total: number | undefined;
  let trail: Trail | undefined;
  if (place !== undefined) onProgress({ type: "resumed", done: place.enqueued, startedAt: place.startedAt });
  try {
    do {
      await roomInQueue(options);
      const page: ListingPage = await readPage(options, cursor);
      await queues.enqueueReprocess(page.userIds);
      enqueued += page.userIds.length;
      cursor = page.next;
      if (cursor !== null) {
        trail = follow(trail, cursor, { route: "The listing of users" });
        await bookmark?.write({ cursor, enqueued, startedAt });
      }
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
        // Kinde does not document how long a cursor is valid: an expired one must not block the walk forever.
        if (cursor === null || !(error instanceof KindeError) || error.status !== 400) throw error;
        throw new KindeError("kinde_rejected", "Kinde no longer accepts the saved cursor: run again with --restart.", {
          cause: error,
          status: error.status,
        });
      }
    },
    { signal, retries, onWait: (ms) => onProgress({ type: "waiting", for: "Kinde", ms }) },
  );
}

/** Saved position of a walk over all users. */
export interface Place {
  /** Cursor of the next page. */
  cursor: string;
  /** Users enqueued so far. */
  enqueued: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

/** Keeps the position of a walk in Redis, so that any machine can resume it. */
export interface Bookmark {
  read(): Promise<Place | undefined>;
  write(place: Place): Promise<void>;
  remove(): Promise<void>;
}

const count = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);

// A hash, whose fields are strings.
const storedPlace = storedShape<Place>(1, z.object({ cursor: z.string().min(1), enqueued: count, startedAt: count }), {
  migrate: (older) => ({ enqueued: "0", startedAt: "0", ...older }),
});

/** Creates the bookmark. A deployment has one. */
export function createBookmark(redis: RedisClient, keys: Keys): Bookmark {
  const key = keys.ledgerPart("reprocess");
  return {
    async read() {
      return storedPlace.parse(await redis.hgetall(key));
    },
    async write(place) {
      await redis.hset(key, storedPlace.versioned(place));
    },
    async remove() {
      await redis.del(key);
    },
  };
}
