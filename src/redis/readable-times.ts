import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";

/**
 * Histogram of the time from an event's acknowledgement to the commit that reflects it. Of more than 1,000 events that
 * were outstanding for one user, the later ones count with the time of the 1,000th: an upper bound.
 */
export interface ReadableTimes {
  events: number;
  /** Sum of all times, in milliseconds. */
  sumMs: number;
  /** Number of events that were readable within each of {@link readableBoundsMs}. */
  within: readonly number[];
}

/** Upper bounds of the histogram, in milliseconds. Events that took longer count in `events` only. */
export const readableBoundsMs = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 7_200_000, 86_400_000,
] as const;

const boundsText = readableBoundsMs.join(",");
const hourMs = 3_600_000;
const hoursKept = 24;

/** Where and how the ledger counts an event that became readable at `now`. */
export function readableHistogram(keys: Keys, now: number) {
  return {
    totalKey: keys.ledgerPart("readable"),
    hourKey: hourKey(keys, Math.floor(now / hourMs)),
    bounds: boundsText,
    hourTtlMs: (hoursKept + 1) * hourMs,
  };
}

function hourKey(keys: Keys, hour: number): string {
  return keys.ledgerPart(`readable:${hour}`);
}

/** Reads the times of the last day (the current hour and the 23 before it) and of all time. */
export async function readReadableTimes(
  redis: RedisClient,
  keys: Keys,
  now: number,
): Promise<{ lastDay: ReadableTimes; ever: ReadableTimes }> {
  const hour = Math.floor(now / hourMs);
  const hours = Array.from({ length: hoursKept }, (_, hoursAgo) => hourKey(keys, hour - hoursAgo));
  const [ever = {}, ...lastDay] = await Promise.all(
    [keys.ledgerPart("readable"), ...hours].map((key) => redis.hgetall(key)),
  );
  return { lastDay: sumHashes(lastDay), ever: sumHashes([ever]) };
}

function sumHashes(hashes: readonly Readonly<Record<string, string>>[]): ReadableTimes {
  const total = (field: string) => hashes.reduce((sum, hash) => sum + Number(hash[field] ?? 0), 0);
  let events = 0;
  const within = readableBoundsMs.map((bound) => {
    events += total(String(bound));
    return events;
  });
  return { events: events + total("more"), sumMs: total("sum"), within };
}

/** Returns the share of events, from 0 to 1, that were readable within a bound; `null` if there were no events. */
export function shareWithin({ events, within }: ReadableTimes, boundMs: (typeof readableBoundsMs)[number]) {
  return events === 0 ? null : (within[readableBoundsMs.indexOf(boundMs)] ?? 0) / events;
}
