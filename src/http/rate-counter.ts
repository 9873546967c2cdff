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
  /** Limit of that count. Default `perMinute`. */
  sharedPerMinute?: number;
}

const minute = 60_000;
/** Name of the count that keys share. */
const shared = "";

/**
 * Creates a counter with one window for all keys. Reads are too many to count in Redis: that would double their cost.
 */
export function createRateCounter(options: RateCounterOptions): RateCounter {
  const { perMinute, now, maxKeys = 100_000, sharedPerMinute = perMinute } = options;
  let counts = new Map<string, number>();
  let endsAt = 0;
  const counted = (key: string) => {
    const time = now();
    if (time >= endsAt || time < endsAt - minute) {
      counts = new Map();
      endsAt = time + minute;
    }
    return counts.has(key) || counts.size < maxKeys ? key : shared;
  };
  const secondsLeft = () => Math.max(1, Math.ceil((endsAt - now()) / 1000));
  return {
    take(key) {
      const name = counted(key);
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      return count > (name === shared ? sharedPerMinute : perMinute) ? secondsLeft() : undefined;
    },
  };
}
