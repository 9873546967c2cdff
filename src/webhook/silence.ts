import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";

/**
 * When events arrived, sampled from the counts that the webhook route keeps anyway, so that it adds no cost per event.
 * Times in milliseconds since the epoch.
 */
export interface Pulse {
  /** Events counted by the last sample. */
  total: number;
  /** Last sample in which the count had changed. */
  heardAt: number;
  /** The last sample. */
  lookedAt: number;
  /** The first sample. */
  since: number;
  /** The longest silence that ended on each day, in milliseconds, by days since the epoch. */
  silences: Readonly<Record<string, number>>;
}

/** Time without events, and whether it is longer than usual. */
export interface Silence {
  forMs: number;
  /** Longest silence that is not unusual. */
  usualMs: number;
  unusual: boolean;
  /** Whether any event has ever arrived. */
  ever: boolean;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const daysRemembered = 14;

/** Returns the pulse after another sample. */
export function feelPulse(before: Pulse | undefined, total: number, now: number): Pulse {
  if (before === undefined) return { total, heardAt: now, lookedAt: now, since: now, silences: {} };
  if (total === before.total) return { ...before, lookedAt: now };
  const today = Math.floor(now / dayMs);
  const lasted = before.lookedAt - before.heardAt;
  // Capped at what is usual so far: an outage must not raise the threshold.
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
 * Judges the current silence. The threshold is twice the longest silence of the last 14 days, nights and weekends
 * included, and at least an hour. Without a day of history it is a whole day.
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

/** The pulse of the fleet in Redis. */
export interface PulseStore {
  /** Takes a sample. `say` is true once an hour for the whole fleet while silence is unusual. */
  look(): Promise<{ silence: Silence; say: boolean }>;
  /** Returns the current silence without writing; `undefined` until a worker has taken a sample. */
  read(): Promise<Silence | undefined>;
}

const storedPulse = storedShape<Pulse>(
  1,
  z.object({
    total: z.int().nonnegative(),
    heardAt: z.number(),
    lookedAt: z.number(),
    since: z.number(),
    silences: z.record(z.string().regex(/^\d+$/), z.number().nonnegative()),
  }),
  { migrate: (older) => older },
);

const eventCount = z.coerce.number().pipe(z.int().nonnegative()).catch(0);

/** Creates the pulse store. */
export function createPulse({ redis, keys, now }: { redis: RedisClient; keys: Keys; now: () => number }): PulseStore {
  const key = keys.ledgerPart("pulse");
  const heard = async () => {
    const [text, counts] = await Promise.all([redis.get(key), redis.hvals(keys.ledgerPart("counts"))]);
    const total = counts.reduce((sum, count) => sum + eventCount.parse(count), 0);
    return { before: storedPulse.parse(text), total };
  };
  return {
    async look() {
      const { before, total } = await heard();
      const pulse = feelPulse(before, total, now());
      await redis.set(key, storedPulse.serialize(pulse));
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
