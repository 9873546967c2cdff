import { z } from "zod";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { defineScript, noAnswer } from "./script.ts";

/**
 * Changes on their way to the stream of all users' changes, which is on another primary than most records of a cluster. The
 * commit script notes a change in the user's own outbox. So that a crash leaves none behind, the users are noted beside the
 * ledger before.
 */
export interface Outbox {
  /** Writes records, and moves the changes to the stream. */
  around<T>(userIds: readonly string[], write: () => Promise<T>): Promise<T>;
  /** Moves the changes of processes that died. Returns the number of users concerned. */
  relayLeft(): Promise<number>;
}

/** Options for {@link createOutbox}. */
export interface OutboxOptions {
  /** Where the records and the stream are. */
  redis: RedisClient;
  /** Where the ledger is. */
  internal: RedisClient;
  keys: Pick<Keys, "changes" | "outbox" | "ledgerPart">;
  /** How many changes the stream keeps. */
  changesKept: number;
}

/** After this time, a process that wrote a record has died: much longer than a commit takes. In microseconds. */
const leftMicros = 30_000_000;
/** Users relayed in one look. */
const leftAtOnce = 200;

const announceChanges = defineScript("announce-changes", {
  call: ({ key, userIds }: { key: string; userIds: readonly string[] }) => ({ keys: [key], args: userIds }),
  answer: z.string(),
});

const forgetAnnouncements = defineScript("forget-announcements", {
  call: ({ key, note, userIds }: { key: string; note: string; userIds: readonly string[] }) => ({
    keys: [key],
    args: [note, ...userIds],
  }),
  answer: noAnswer,
});

const dropChanges = defineScript("drop-changes", {
  call: ({ key, ids }: { key: string; ids: readonly string[] }) => ({ keys: [key], args: ids }),
  answer: noAnswer,
});

/** Creates the outbox. */
export function createOutbox({ redis, internal, keys, changesKept }: OutboxOptions): Outbox {
  const key = keys.ledgerPart("outboxes");

  // A change that is in the stream and still in the outbox after a crash comes twice: the stream promises "at least once".
  const move = async (userId: string) => {
    const outbox = keys.outbox(userId);
    const entries = await redis.xrange(outbox, "-", "+");
    for (const [, fields] of entries) await redis.xadd(keys.changes, "MAXLEN", "~", changesKept, "*", ...fields);
    if (entries.length > 0) await dropChanges(redis, { key: outbox, ids: entries.map(([id]) => id) });
  };
  const relay = async (userIds: readonly string[], note: string) => {
    await Promise.all(userIds.map(move));
    await forgetAnnouncements(internal, { key, note, userIds });
  };

  return {
    async around(userIds, write) {
      if (userIds.length === 0) return write();
      const note = await announceChanges(internal, { key, userIds });
      const result = await write();
      await relay(userIds, note);
      return result;
    },
    async relayLeft() {
      // An announcement that changes nothing reads the clock.
      const now = Number(await announceChanges(internal, { key, userIds: [] }));
      const before = String(now - leftMicros);
      const left = await internal.zrangebyscore(key, "-inf", before, "LIMIT", 0, leftAtOnce);
      if (left.length > 0) await relay(left, before);
      return left.length;
    },
  };
}
