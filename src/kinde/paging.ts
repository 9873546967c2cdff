import { z } from "zod";
import { KindeError } from "../errors.ts";
import { queryId } from "./ids.ts";

/** Memory of a walk through pages: small enough to store, however many pages there are. */
export interface Trail {
  pages: number;
  /** A cursor from earlier in the walk, that of the last page whose number is a power of two. */
  mark: string;
}

/** Schema of {@link Trail}. */
export const trailSchema = z.object({ pages: z.int().positive(), mark: z.string() });

/** Pages of the longest walk: 50 million users at 500 a page. */
export const mostPages = 100_000;

/**
 * Adds the cursor of the next page to the memory of a walk. Finds every cycle after at most three times its length
 * (Brent's algorithm), so an answer that leads back to an earlier page cannot keep a walk going.
 *
 * @param trail `undefined` at the start of the walk
 * @throws {KindeError} `kinde_unavailable` if the cursor repeats, is malformed, or exceeds `limit` pages
 */
export function follow(
  trail: Trail | undefined,
  cursor: string,
  { route, limit = mostPages }: { route: string; limit?: number },
): Trail {
  const pages = (trail?.pages ?? 0) + 1;
  if (!queryId.safeParse(cursor).success) {
    throw new KindeError("kinde_unavailable", `The answer to ${route} has a malformed cursor.`);
  }
  if (trail?.mark === cursor) {
    throw new KindeError("kinde_unavailable", `${route} leads back to a page that was read before.`);
  }
  if (pages >= limit) throw new KindeError("kinde_unavailable", `${route} has more than ${limit} pages.`);
  const isPowerOfTwo = Number.isInteger(Math.log2(pages));
  return { pages, mark: trail === undefined || isPowerOfTwo ? cursor : trail.mark };
}
