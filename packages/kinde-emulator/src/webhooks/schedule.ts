const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Kinde's waits before each retry: at once, 5 s, 30 s, 2 min, 10 min, 1 h, 4 h, then every 12 h until 36 h. */
export const RETRY_DELAYS_MS: readonly number[] = [
  0,
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  HOUR,
  4 * HOUR,
  12 * HOUR,
  12 * HOUR,
  12 * HOUR,
];

/** A webhook that has failed this long on end is switched off. */
export const DISABLE_AFTER_MS = 72 * HOUR;
