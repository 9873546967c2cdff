import type { Profile } from "kindling/contract";
import { z } from "zod";
import { parseInstant } from "../kinde/answers.ts";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";

/** Recent sign-ins, which carry their own time, compared with what the search showed of them. */
export interface LagSample {
  /** Sign-ins young enough for the search to lack them. */
  fresh: number;
  /** Age of the oldest that it lacked, in milliseconds. */
  behindMs: number;
}

/** A period of observation. */
interface Period extends LagSample {
  /** Milliseconds since the epoch. */
  since: number;
}

interface Observed {
  current: Period;
  previous: Period | null;
}

/**
 * How far Kinde's search lags behind, learned from sign-ins: a record that an event refreshed has the time of the last
 * one, and so has the search. A lag that is learned too short costs fetches that find nothing, and one that is learned too
 * long a delay of at most the assumed lag: neither loses a change.
 */
export interface IndexLag {
  /** Returns the lag to expect, in milliseconds: the assumed one until enough was observed. */
  expected(): Promise<number>;
  /** Adds what a sweep observed. */
  observe(sample: LagSample, now: number): Promise<void>;
}

export const nothingObserved: LagSample = { fresh: 0, behindMs: 0 };

/** Observations that make a period count. */
const enough = 10;
const periodMs = 3_600_000;
/** Allowance for clocks that differ, and for a lag that varies. */
const [marginMs, marginFactor] = [5_000, 2];

const sample = z.object({ fresh: z.int().nonnegative(), behindMs: z.number().nonnegative() });
/** Schema of {@link LagSample}. */
export const lagSampleSchema = sample satisfies z.ZodType<LagSample>;
const period = sample.extend({ since: z.number() });
const stored = storedShape<Observed>(1, z.object({ current: period, previous: period.nullable() }));

/** Opens what was learned. `assumedMs` is the upper bound. */
export function createIndexLag({
  redis,
  keys,
  assumedMs,
}: {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  assumedMs: number;
}): IndexLag {
  const key = keys.ledgerPart("sweep:lag");
  const read = async () => stored.parse(await redis.get(key));
  return {
    async expected() {
      const observed = await read();
      const periods = [observed?.current, observed?.previous].flatMap((each) => each ?? []);
      const fresh = periods.reduce((sum, each) => sum + each.fresh, 0);
      if (fresh < enough) return assumedMs;
      const behindMs = Math.max(...periods.map((each) => each.behindMs));
      return Math.min(assumedMs, marginMs + marginFactor * behindMs);
    },
    async observe(sample, now) {
      if (sample.fresh === 0) return;
      const { current, previous } = (await read()) ?? { current: { ...nothingObserved, since: now }, previous: null };
      // A period without enough observations goes on: a quiet tenant keeps what it has learned.
      const over = current.fresh >= enough && Math.abs(now - current.since) > periodMs;
      const next: Observed = over
        ? { current: { ...sample, since: now }, previous: current }
        : { current: { ...addSamples(current, sample), since: current.since }, previous };
      await redis.set(key, stored.serialize(next));
    },
  };
}

/** Adds two samples. */
export function addSamples(one: LagSample, other: LagSample): LagSample {
  return { fresh: one.fresh + other.fresh, behindMs: Math.max(one.behindMs, other.behindMs) };
}

/** Compares the last sign-in of a record with the one that the search shows. */
export function sampleLag(
  profile: Pick<Profile, "lastSignedIn">,
  searched: Pick<SearchedUser, "lastSignedIn">,
  { now, assumedMs }: { now: number; assumedMs: number },
): LagSample {
  const held = instant(profile.lastSignedIn);
  const shown = instant(searched.lastSignedIn);
  const age = Math.max(0, now - Math.max(held, shown));
  if (!(age < assumedMs)) return nothingObserved;
  return { fresh: 1, behindMs: held > shown ? age : 0 };
}

function instant(time: string | null): number {
  const at = time === null ? Number.NaN : parseInstant(time);
  return Number.isNaN(at) ? Number.NEGATIVE_INFINITY : at;
}
