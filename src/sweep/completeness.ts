import { z } from "zod";
import { type RedisClient, readAll, readRunId } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { defineScript, noAnswer } from "../redis/script.ts";
import { storedShape } from "../redis/stored.ts";

/** Whether the store holds every Kinde user. A new or wiped Redis has no mark. */
export interface Completeness {
  /** Returns when the store became complete, in milliseconds since the epoch; `undefined` while it is incomplete. */
  since(): Promise<number | undefined>;
  /** Notes that a sweep begins to count records. Must be called before the first of them is counted. */
  beginCount(sweep: number): Promise<void>;
  /**
   * Marks the store complete, for as long as the current Redis process serves it: a failover can lose records and keep
   * the mark. Keeps the time of an earlier mark. Does nothing if Redis was wiped, or another process took over, since the
   * sweep's count began.
   */
  mark(sweep: number, now: number): Promise<void>;
  clear(): Promise<void>;
  /**
   * Returns what {@link Completeness.since} does, unless another Redis process has taken over since the mark was set:
   * then removes the mark, and a sweep must earn it again.
   */
  recheck(): Promise<number | undefined>;
  /** Returns whether a count has earned the mark. Releases before 0.2 set it without counting. */
  counted(): Promise<boolean>;
}

interface Mark {
  since: number;
  /** The Redis process that served when the mark was set. Absent in marks that no count has earned. */
  runId?: string;
}

// A public key: `since` must stay readable without knowing the version.
const storedMark = storedShape<Mark>(1, z.object({ since: z.number(), runId: z.string().exactOptional() }), {
  migrate: (older) => older,
});

/** Options for {@link createCompleteness}. */
export interface CompletenessOptions {
  redis: RedisClient;
  /** Where the ledger is. Default: beside the records. */
  internal?: RedisClient;
  keys: Pick<Keys, "complete" | "counting">;
}

/** Longer than a count can pause, in milliseconds. */
const countTtlMs = 86_400_000;

const markComplete = defineScript("mark-complete", {
  call: (input: { markKey: string; countingKey: string; mark: string; runId: string }) => ({
    keys: [input.markKey, input.countingKey],
    args: [input.mark, input.runId],
  }),
  answer: noAnswer,
});

/** Creates the completeness mark. */
export function createCompleteness({ redis, internal = redis, keys }: CompletenessOptions): Completeness {
  const readRun = async () => {
    const clients = redis === internal ? [redis] : [redis, internal];
    return (await Promise.all(clients.map(readRunId))).join("+");
  };
  const read = async () => storedMark.parse((await readAll(redis, [keys.complete]))[0]);
  const clear = async () => {
    await redis.del(keys.complete);
  };
  return {
    since: async () => (await read())?.since,
    async beginCount(sweep) {
      await redis.set(keys.counting(sweep), await readRun(), "PX", countTtlMs);
    },
    async mark(sweep, now) {
      const [runId, earlier] = await Promise.all([readRun(), read()]);
      const mark = storedMark.serialize({ since: earlier?.since ?? now, runId });
      await markComplete(redis, { markKey: keys.complete, countingKey: keys.counting(sweep), mark, runId });
    },
    clear,
    async recheck() {
      const [runId, mark] = await Promise.all([readRun(), read()]);
      if (mark?.runId === undefined || mark.runId === runId) return mark?.since;
      await clear();
      return undefined;
    },
    counted: async () => (await read())?.runId !== undefined,
  };
}
