import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";
import { type SweepMark, traceKeys } from "./seen-users.ts";

/** One page of Kinde's users: their ids, and the cursor of the next page. */
export interface ListedPage {
  ids: readonly string[];
  /** `null` for the last page. */
  next: string | null;
}

/**
 * The users that a filling sweep has listed, page by page, about 40 bytes a user. They are counted against what the store
 * holds before it counts as complete. If Redis loses a page, the sweep proves nothing.
 */
export interface ListedUsers {
  /** Remembers a page under the cursor that it was requested with. */
  remember(sweep: SweepMark, cursor: string | null, page: ListedPage): Promise<void>;
  /** Returns the page; `undefined` if it is lost. */
  read(sweep: SweepMark, cursor: string | null): Promise<ListedPage | undefined>;
  /** Deletes all pages. Returns whether there were any. */
  forget(sweep: SweepMark): Promise<boolean>;
}

/** Longer than a fill can pause while the bulk queue is full. */
const ttlMs = 7 * 86_400_000;

const storedPage = storedShape<ListedPage>(1, z.object({ ids: z.array(z.string()), next: z.string().nullable() }));

/** Creates the pages over one connection. */
export function createListedUsers({ redis, keys }: { redis: RedisClient; keys: Keys }): ListedUsers {
  const key = ({ number }: SweepMark) => traceKeys(keys, number).listed;
  // The cursor of the first page.
  const field = (cursor: string | null) => cursor ?? "";
  return {
    async remember(sweep, cursor, page) {
      const pages = key(sweep);
      await redis.multi().hset(pages, field(cursor), storedPage.serialize(page)).pexpire(pages, ttlMs).exec();
    },
    async read(sweep, cursor) {
      return storedPage.parse(await redis.hget(key(sweep), field(cursor)));
    },
    async forget(sweep) {
      return (await redis.unlink(key(sweep))) === 1;
    },
  };
}
