import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";
import { fetchAllowance } from "./pace.ts";

/** What checks of recently active users came to. */
export interface RecentSample {
  checked: number;
  different: number;
  calls: number;
  /** Longest time from one check of a user to the end of the next, in milliseconds. */
  longestMs: number;
  /** Users that were active at the last check. */
  users: number;
}

interface Period extends RecentSample {
  /** Milliseconds since the epoch. */
  since: number;
}

/** The checks of the last minutes. */
export interface RecentHistory {
  current: Period | null;
  previous: Period | null;
  /** When the checks gave up last, and why; `null` if they have gone on since. */
  failed: { at: number; reason: string } | null;
}

/** The history of checks in Redis. */
export interface RecentLog {
  read(): Promise<RecentHistory>;
  add(sample: RecentSample, now: number): Promise<void>;
  fail(failed: { at: number; reason: string }): Promise<void>;
}

/** Longer than a round over as many users as make sense. */
const periodMs = 600_000;

const count = z.int().nonnegative();
const period = z.object({
  since: z.number(),
  checked: count,
  different: count,
  calls: count,
  longestMs: z.number().nonnegative(),
  users: count,
});
const stored = storedShape<RecentHistory>(
  1,
  z.object({
    current: period.nullable(),
    previous: period.nullable(),
    failed: z.object({ at: z.number(), reason: z.string() }).nullable(),
  }),
);

/** Creates the log. */
export function createRecentLog({ redis, keys }: { redis: RedisClient; keys: Pick<Keys, "ledgerPart"> }): RecentLog {
  const key = keys.ledgerPart("recent:log");
  const read = async () => stored.parse(await redis.get(key)) ?? { current: null, previous: null, failed: null };
  const write = (history: RecentHistory) => redis.set(key, stored.serialize(history));
  return {
    read,
    async add(sample, now) {
      const { current, previous } = await read();
      const longestMs = Math.max(0, sample.longestMs);
      if (current === null || Math.abs(now - current.since) > periodMs) {
        await write({ current: { ...sample, longestMs, since: now }, previous: current, failed: null });
        return;
      }
      const added: Period = {
        since: current.since,
        checked: current.checked + sample.checked,
        different: current.different + sample.different,
        calls: current.calls + sample.calls,
        longestMs: Math.max(current.longestMs, longestMs),
        users: sample.users,
      };
      await write({ current: added, previous, failed: null });
    },
    async fail(failed) {
      await write({ ...(await read()), failed });
    },
  };
}

/** The checks of the last ten to twenty minutes. */
export interface RecentChecksSummary {
  /** Users that were active at the last check. */
  users: number;
  checked: number;
  different: number;
  calls: number;
  /** How soon a change of such a user shows, as measured: from one check to the end of the next, and the refresh. */
  withinMs: number;
}

/** Sums up the checks; `undefined` if nobody was checked lately. */
export function summarizeChecks(
  { current, previous }: RecentHistory,
  now: number,
  measuredFetchMs: number,
): RecentChecksSummary | undefined {
  if (current === null || Math.abs(now - current.since) > 2 * periodMs) return undefined;
  const before = previous !== null && Math.abs(now - previous.since) <= 3 * periodMs ? previous : undefined;
  return {
    users: current.users,
    checked: current.checked + (before?.checked ?? 0),
    different: current.different + (before?.different ?? 0),
    calls: current.calls + (before?.calls ?? 0),
    withinMs: Math.max(current.longestMs, before?.longestMs ?? 0) + fetchAllowance(measuredFetchMs),
  };
}
