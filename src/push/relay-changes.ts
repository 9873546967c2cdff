import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { readEntry } from "./change.ts";
import type { PushQueue } from "./queues.ts";

/** Dependencies of {@link relayChanges}. */
export interface RelayOptions {
  /** A connection for blocking commands. `close` disconnects it. */
  redis: RedisClient;
  keys: Pick<Keys, "changes">;
  push: PushQueue;
  /** How many changes the stream keeps. */
  changesKept: number;
  onError: (error: unknown) => void;
  /** Called when changes may have left the stream before they were relayed. */
  onLoss: () => void;
}

/** Changes relayed at once. */
const batchSize = 100;
/** Deliveries that can wait in an endpoint's queue. Further changes stay in the stream. */
const backlog = 1_000;
const blockMs = 1_000;
/** When the changes of a relay that died are taken over, in milliseconds. */
const takeOverMs = 30_000;
/** All processes share one consumer: which of them relays a change makes no difference. */
const consumer = "relay";

// Redis 6.2 reports an entry that was trimmed as null.
const entriesSchema = z
  .array(z.tuple([z.string(), z.array(z.string()).nullable()]).nullable())
  .transform((entries) => entries.filter((entry) => entry !== null));
const readSchema = z.array(z.tuple([z.string(), entriesSchema])).nullable();
const claimSchema = z.tuple([z.string(), entriesSchema]).rest(z.unknown());

type Entries = z.output<typeof entriesSchema>;

/**
 * Relays the stream of changes to the queue of one endpoint, at least once: an entry is acknowledged after its job exists.
 * The commit script writes the stream together with the record, so that no crash comes in between.
 */
export function relayChanges(options: RelayOptions): { close(): Promise<void> } {
  const { redis, keys, push, changesKept, onError, onLoss } = options;
  const closing = new AbortController();
  const group = push.name;
  let takeOverAt = 0;

  const relay = async (entries: Entries) => {
    if (entries.length === 0) return;
    // What is not a change, or was trimmed, is only acknowledged.
    await push.enqueue(entries.flatMap(([id, fields]) => (fields === null ? [] : (readEntry(id, fields) ?? []))));
    await redis.xack(keys.changes, group, ...entries.map(([id]) => id));
  };

  const takeOver = async () => {
    const claimed = await redis.xautoclaim(keys.changes, group, consumer, takeOverMs, "0", "COUNT", batchSize);
    const [, entries] = claimSchema.parse(claimed);
    await relay(entries);
    // A full batch can have successors.
    if (entries.length < batchSize) takeOverAt = performance.now() + takeOverMs / 2;
  };

  const checkLoss = async (entries: Entries) => {
    if ((await redis.xlen(keys.changes)) < changesKept) return;
    const [oldest] = await redis.xrange(keys.changes, "-", "+", "COUNT", 1);
    // The next change to relay is the oldest of a full stream: older ones have been trimmed.
    if (oldest !== undefined && oldest[0] === entries[0]?.[0]) onLoss();
  };

  const step = async () => {
    const { waiting = 0, delayed = 0 } = await push.queue.getJobCounts("waiting", "delayed");
    if (waiting + delayed >= backlog) {
      await delay(blockMs, undefined, { signal: closing.signal }).catch(() => undefined);
      return;
    }
    if (performance.now() >= takeOverAt) await takeOver();
    const read = readSchema.parse(
      await redis.xreadgroup(
        "GROUP",
        group,
        consumer,
        "COUNT",
        batchSize,
        "BLOCK",
        blockMs,
        "STREAMS",
        keys.changes,
        ">",
      ),
    );
    const entries = read?.[0]?.[1] ?? [];
    if (entries.length === 0) return;
    await checkLoss(entries);
    await relay(entries);
  };

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        await step();
      } catch (error) {
        if (closing.signal.aborted) return;
        // At the first start, and after Redis lost its data.
        const created = isMissingGroup(error) && (await createGroup().catch(onError));
        if (created) continue;
        onError(error);
        // ioredis reconnects on its own. The delay prevents a tight loop when Redis rejects commands.
        await delay(1_000, undefined, { signal: closing.signal }).catch(() => undefined);
      }
    }
  };

  // From the oldest change on: commits can have come before the first relay started.
  const createGroup = async () => {
    await redis.xgroup("CREATE", keys.changes, group, "0", "MKSTREAM").catch((error: unknown) => {
      if (!startsWith(error, "BUSYGROUP")) throw error;
    });
    return true;
  };

  const running = run();
  return {
    async close() {
      closing.abort();
      redis.disconnect();
      await running;
    },
  };
}

function isMissingGroup(error: unknown): boolean {
  return startsWith(error, "NOGROUP");
}

function startsWith(error: unknown, prefix: string): boolean {
  return error instanceof Error && error.message.startsWith(prefix);
}
