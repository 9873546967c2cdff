import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";

/**
 * When events were heard, as the fleet's watch sees it: it looks at the counts that taking events in keeps anyway, so that
 * it costs the way in nothing. Times in milliseconds since the epoch.
 */
export interface Pulse {
  /** Events counted at the last look. */
  total: number;
  /** Look at which the count had last changed. */
  heardAt: number;
  lookedAt: number;
  /** The first look of all. */
  since: number;
  /** The longest silence that ended on each day (days since the epoch), in milliseconds. */
  silences: Readonly<Record<string, number>>;
}

/** How long nothing was heard, and whether that is longer than usual. */
export interface Silence {
  forMs: number;
  /** Longer than this is longer than usual. */
  usualMs: number;
  unusual: boolean;
  /** Whether any event was ever heard. */
  ever: boolean;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const daysRemembered = 14;

/** The pulse after one more look. */
export function feelPulse(before: Pulse | undefined, total: number, now: number): Pulse {
  if (before === undefined) return { total, heardAt: now, lookedAt: now, since: now, silences: {} };
  if (total === before.total) return { ...before, lookedAt: now };
  const today = Math.floor(now / dayMs);
  const lasted = before.lookedAt - before.heardAt;
  // What was warned of is learned only as far as it is bearable: an outage must not become what is usual.
  const learned = Math.max(before.silences[today] ?? 0, Math.min(lasted, usual(before, now)));
  const recent = Object.entries(before.silences).filter(([day]) => Number(day) > today - daysRemembered);
  return {
    ...before,
    total,
    heardAt: now,
    lookedAt: now,
    silences: { ...Object.fromEntries(recent), [today]: learned },
  };
}

/**
 * Silence is longer than usual when it has lasted twice as long as the longest of the last 14 days, nights and weekends
 * included, and an hour at least. During the first day nothing is known to be usual: a whole day then.
 */
export function judgeSilence(pulse: Pulse, now: number): Silence {
  const forMs = Math.max(0, now - pulse.heardAt);
  const usualMs = usual(pulse, now);
  return { forMs, usualMs, unusual: forMs > usualMs, ever: pulse.total > 0 };
}

function usual({ since, silences }: Pulse, now: number): number {
  const known = Object.values(silences);
  return now - since < dayMs || known.length === 0 ? dayMs : Math.max(hourMs, 2 * Math.max(...known));
}

/** The fleet's pulse in Redis. */
export interface PulseStore {
  /** One more look. Answers the pulse and, once an hour while silence is unusual, that it is time to say so. */
  look(): Promise<{ silence: Silence; say: boolean }>;
  /** As of now, nothing written; `undefined` where no worker has looked yet. */
  read(): Promise<Silence | undefined>;
}

/** Over one connection. */
export function createPulse({ redis, keys, now }: { redis: Redis; keys: Keys; now: () => number }): PulseStore {
  const key = keys.ledgerPart("pulse");
  const heard = async () => {
    const [text, counts] = await Promise.all([redis.get(key), redis.hvals(keys.ledgerPart("counts"))]);
    const before = text === null ? undefined : (JSON.parse(text) as Pulse);
    return { before, total: counts.reduce((sum, count) => sum + Number(count), 0) };
  };
  return {
    async look() {
      const { before, total } = await heard();
      const pulse = feelPulse(before, total, now());
      await redis.set(key, JSON.stringify(pulse));
      const silence = judgeSilence(pulse, now());
      if (!silence.unusual) return { silence, say: false };
      const first = await redis.set(keys.ledgerPart("pulse:said"), "1", "PX", hourMs, "NX");
      return { silence, say: first !== null };
    },
    async read() {
      const { before, total } = await heard();
      return before && judgeSilence(feelPulse(before, total, now()), now());
    },
  };
}
