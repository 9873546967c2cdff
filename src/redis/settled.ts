import { z } from "zod";
import { type RedisClient, readRunId } from "./client.ts";
import type { Keys, TicketKeys } from "./keys.ts";
import { ledgerKeys } from "./ledger.ts";
import { readClock } from "./ledger-scripts.ts";
import { defineScript } from "./script.ts";

/** Users settled lately, in case the Redis of their records loses the commits: a ledger elsewhere does not lose them too. */
export interface RecentlySettled {
  /**
   * Puts recently settled users back into the ledger if another process serves the records than at the last look. Forgets
   * those that are safe. Returns how many were put back; the watch enqueues them.
   */
  look(): Promise<number>;
}

/** Options for {@link createRecentlySettled}. */
export interface RecentlySettledOptions {
  /** Where the records are. */
  redis: RedisClient;
  /** Where the ledger is. */
  internal: RedisClient;
  keys: Keys;
}

/**
 * For how long a commit counts as unsafe, in milliseconds. A primary that is cut off accepts writes until it notices, which
 * takes the time-out of the cluster: seconds.
 */
const unsafeMs = 10 * 60_000;
/** Users remembered at most: 50 MB. */
const mostUsers = 500_000;
const batchSize = 1_000;

/** Returns the key of the recently settled users. */
export function settledKey(keys: Pick<Keys, "ledgerPart">): string {
  return keys.ledgerPart("settled");
}

interface ReopenInput {
  ticket: TicketKeys;
  sinceKey: string;
  latestKey: string;
  concernsKey: string;
  settledKey: string;
}

const reopenSettled = defineScript("reopen-settled", {
  call: (input: ReopenInput) => ({
    keys: [
      input.ticket.counter,
      input.ticket.run,
      input.sinceKey,
      input.latestKey,
      input.concernsKey,
      input.settledKey,
    ],
    args: [batchSize],
  }),
  answer: z.int(),
});

/** Creates the look. */
export function createRecentlySettled({ redis, internal, keys }: RecentlySettledOptions): RecentlySettled {
  const runKey = keys.ledgerPart("settled:run");
  const key = settledKey(keys);
  const users = ledgerKeys(keys, "users");
  const input = {
    ticket: keys.ticket,
    sinceKey: users.since,
    latestKey: users.latest,
    concernsKey: keys.ledgerPart("concerns"),
    settledKey: key,
  };
  return {
    async look() {
      const [run, last, now] = await Promise.all([
        readRunId(redis),
        internal.get(runKey),
        readClock(internal, { key }),
      ]);
      let reopened = 0;
      if (last !== null && last !== run) {
        for (;;) {
          const count = await reopenSettled(internal, input);
          reopened += count;
          if (count < batchSize) break;
        }
      }
      // Last, so that a process that dies meanwhile leaves the rest to the next look.
      if (last !== run) await internal.set(runKey, run);
      await internal.zremrangebyscore(key, "-inf", now - unsafeMs * 1000);
      await internal.zremrangebyrank(key, 0, -mostUsers - 1);
      return reopened;
    },
  };
}
