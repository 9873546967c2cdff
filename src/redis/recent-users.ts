import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { defineScript, noAnswer } from "./script.ts";

/** A user who was active recently. Times in milliseconds since the epoch, by Redis' clock. */
export interface RecentUser {
  userId: string;
  /** When the user became active; `undefined` if the user was forgotten at this moment. */
  since: number | undefined;
  /** When the record was last known to be true; 0 if nobody has looked yet. */
  checkedAt: number;
}

/** The users who signed in or were read in the last minutes: a bounded set of the latest ones. */
export interface RecentUsers {
  /** Notes that users are active. Costs no round trip: it is written now and then, and lost if the process is killed. */
  note(userIds: readonly string[]): void;
  /** Returns the users whose check is the longest ago, longest first. */
  longestUnchecked(count: number): Promise<RecentUser[]>;
  /** Notes when the records of users were known to be true. Users who are not active any more stay forgotten. */
  checked(users: readonly Pick<RecentUser, "userId" | "checkedAt">[]): Promise<void>;
  forget(userIds: readonly string[]): Promise<void>;
  size(): Promise<number>;
  /** Writes what is not written yet. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Options for {@link createRecentUsers}. */
export interface RecentUsersOptions {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  /** Users to keep at most; 0 keeps none. */
  most: number;
  onError: (error: unknown) => void;
}

/** How long a user counts as active after a sign-in or a read, in milliseconds. */
export const recentForMs = 900_000;
const writeMs = 2_000;

const noteRecentUsers = defineScript("note-recent-users", {
  call: ({ keys, most, userIds }: { keys: readonly string[]; most: number; userIds: readonly string[] }) => ({
    keys,
    args: [recentForMs, most, ...userIds],
  }),
  answer: noAnswer,
});

/** Opens the set. Notes wait in the memory of this process, the latest ones only. */
export function createRecentUsers({ redis, keys, most, onError }: RecentUsersOptions): RecentUsers {
  const activeKey = keys.ledgerPart("recent:active");
  const checkedKey = keys.ledgerPart("recent:checked");
  const sinceKey = keys.ledgerPart("recent:since");
  const unwritten = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  const flush = async () => {
    clearTimeout(timer);
    timer = undefined;
    if (unwritten.size === 0) return;
    const userIds = [...unwritten];
    unwritten.clear();
    // Only a hint: the next sign-in or read notes them again.
    await noteRecentUsers(redis, { keys: [activeKey, checkedKey, sinceKey], most, userIds }).catch(onError);
  };
  return {
    note(userIds) {
      if (most === 0) return;
      for (const userId of userIds) {
        unwritten.delete(userId);
        unwritten.add(userId);
      }
      for (const userId of unwritten) {
        if (unwritten.size <= most) break;
        unwritten.delete(userId);
      }
      timer ??= setTimeout(flush, writeMs).unref();
    },
    async longestUnchecked(count) {
      const members = await redis.zrange(checkedKey, 0, count - 1, "WITHSCORES");
      const userIds = members.filter((_, index) => index % 2 === 0);
      if (userIds.length === 0) return [];
      const since = await redis.hmget(sinceKey, ...userIds);
      return userIds.map((userId, index) => ({
        userId,
        since: since[index] == null ? undefined : Number(since[index]),
        checkedAt: Number(members[2 * index + 1]),
      }));
    },
    async checked(users) {
      if (users.length === 0) return;
      await redis.zadd(checkedKey, "XX", ...users.flatMap(({ userId, checkedAt }) => [checkedAt, userId]));
    },
    async forget(userIds) {
      if (userIds.length === 0) return;
      await redis
        .multi()
        .zrem(activeKey, ...userIds)
        .zrem(checkedKey, ...userIds)
        .hdel(sinceKey, ...userIds)
        .exec();
    },
    size: () => redis.zcard(activeKey),
    flush,
    async close() {
      await flush();
      clearTimeout(timer);
    },
  };
}
