import type { Redis } from "ioredis";
import type { Keys } from "./keys.ts";

/**
 * How long acknowledged events took to be readable, as a histogram. Events of one user that were outstanding together
 * all count with the time of the oldest: exact for that one, a bound from above for those that joined it.
 */
export interface ReadableTimes {
  events: number;
  /** Sum of all times, in milliseconds. */
  sumMs: number;
  /** Events readable within so many milliseconds, for each of {@link readableBoundsMs}. */
  within: readonly number[];
}

/** Upper bounds of the histogram, in milliseconds; what took longer counts in `events` alone. */
export const readableBoundsMs = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 7_200_000, 86_400_000,
] as const;

const hourMs = 3_600_000;
const hoursKept = 24;

/** Keys a time is counted under: ever since, and in this hour. */
export function readableKeys(keys: Keys, now: number): [ever: string, hour: string] {
  return [keys.ledgerPart("readable"), hourKey(keys, Math.floor(now / hourMs))];
}

function hourKey(keys: Keys, hour: number): string {
  return keys.ledgerPart(`readable:${hour}`);
}

/** Lua that counts so many events acknowledged at a position (µs) as readable now. */
export const noteReadableLua = `
local function noteReadable(ever, hour, since, events)
  if events <= 0 then return end
  local time = redis.call('TIME')
  local ms = math.max(0, math.floor((tonumber(time[1]) * 1000000 + tonumber(time[2]) - since) / 1000))
  local field = 'more'
  for _, bound in ipairs({ ${readableBoundsMs.join(", ")} }) do
    if ms <= bound then field = string.format('%.0f', bound) break end
  end
  for _, key in ipairs({ ever, hour }) do
    redis.call('HINCRBY', key, field, events)
    redis.call('HINCRBY', key, 'sum', ms * events)
  end
  redis.call('PEXPIRE', hour, ${(hoursKept + 1) * hourMs})
end
`;

/** Times of the last day (the hour that runs and the 23 before it), and of all time since the store was new. */
export async function readReadableTimes(
  redis: Redis,
  keys: Keys,
  now: number,
): Promise<{ lastDay: ReadableTimes; ever: ReadableTimes }> {
  const hour = Math.floor(now / hourMs);
  const hours = Array.from({ length: hoursKept }, (_, ago) => hourKey(keys, hour - ago));
  const [ever = {}, ...day] = await Promise.all(
    [keys.ledgerPart("readable"), ...hours].map((key) => redis.hgetall(key)),
  );
  return { lastDay: sumUp(day), ever: sumUp([ever]) };
}

function sumUp(hashes: readonly Readonly<Record<string, string>>[]): ReadableTimes {
  const total = (field: string) => hashes.reduce((sum, hash) => sum + Number(hash[field] ?? 0), 0);
  let events = 0;
  const within = readableBoundsMs.map((bound) => {
    events += total(String(bound));
    return events;
  });
  return { events: events + total("more"), sumMs: total("sum"), within };
}

/** Share of the events, from 0 to 1, that were readable within one of the bounds; `null` where there was no event. */
export function shareWithin({ events, within }: ReadableTimes, boundMs: (typeof readableBoundsMs)[number]) {
  return events === 0 ? null : (within[readableBoundsMs.indexOf(boundMs)] ?? 0) / events;
}
