import type { Progress } from "../cli/progress.ts";
import { KindeError } from "../errors.ts";
import { estimateTotal } from "../kinde/estimate-total.ts";
import type { Listing, ListingPage } from "../kinde/list-users.ts";
import { patiently } from "../kinde/patiently.ts";
import type { Queues } from "../redis/queues.ts";
import { roomInQueue } from "../redis/room-in-queue.ts";
import type { Bookmark } from "./bookmark.ts";

/** What a walk over a listing needs. */
export interface WalkOptions {
  listing: Listing;
  queues: Pick<Queues, "bulk" | "enqueueReprocess">;
  /** Jobs that may wait in the bulk queue before the walk waits too: Redis need not hold a job for every user. */
  backlog: number;
  /** Where the walk's place is kept; left out, it cannot be resumed. */
  bookmark?: Bookmark;
  /** Forget the place of an earlier walk. */
  restart?: boolean;
  progress: Progress;
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
  const { bookmark, progress, queues, signal, now } = options;
  const place = options.restart === true ? undefined : await bookmark?.read();
  const startedAt = place?.startedAt ?? now();
  const resumedAt = place?.enqueued ?? 0;
  let enqueued = resumedAt;
  let cursor = place?.cursor ?? null;
  let total: number | undefined;
  progress.start(place);
  try {
    do {
      await roomInQueue(options);
      const page: ListingPage = await readPage(options, cursor);
      await queues.enqueueReprocess(page.userIds);
      enqueued += page.userIds.length;
      cursor = page.next;
      if (cursor !== null) await bookmark?.write({ cursor, enqueued, startedAt });
      total = cursor === null ? enqueued : estimateTotal(page.userIds, enqueued);
      progress.update(enqueued, total);
    } while (cursor !== null);
    await bookmark?.remove();
    return { enqueued, resumedAt, complete: true };
  } catch (error) {
    if (!signal.aborted) throw error;
    return { enqueued, resumedAt, complete: false };
  } finally {
    progress.stop();
  }
}

function readPage({ listing, signal, progress }: WalkOptions, cursor: string | null): Promise<ListingPage> {
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
    { signal, retries, onWait: (ms) => progress.waiting("Kinde", ms) },
  );
}
