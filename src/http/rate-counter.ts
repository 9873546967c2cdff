/** Counts per key and minute in this process. */
export interface RateCounter {
  /** Counts one for the key. Returns the seconds to wait if the key is over the limit, else `undefined`. */
  take(key: string): number | undefined;
}

/** Options for {@link createRateCounter}. */
export interface RateCounterOptions {
  perMinute: number;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Keys counted separately in one minute. All further ones share one count. Default 100,000. */
  maxKeys?: number;
}

const minute = 60_000;

/**
 * Creates a counter with one window for all keys. Reads are too many to count in Redis: that would double their cost.
 */
export function createRateCounter({ perMinute, now, maxKeys = 100_000 }: RateCounterOptions): RateCounter {
  let counts = new Map<string, number>();
  let endsAt = 0;
  const counted = (key: string) => {
    const time = now();
    if (time >= endsAt || time < endsAt - minute) {
      counts = new Map();
      endsAt = time + minute;
    }
    return counts.has(key) || counts.size < maxKeys ? key : "";
  };
  const secondsLeft = () => Math.max(1, Math.ceil((endsAt - now()) / 1000));
  return {
    take(key) {
      const name = counted(key);
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      return count > perMinute ? secondsLeft() : undefined;
    },
  };
}
