import { booleanAnswer, defineScript, noAnswer } from "./script.ts";

/** Takes a lock for at most `ttlMs`. Answers `false` if somebody holds it. All takers of a lock use the same `ttlMs`. */
export const takeLock = defineScript("take-lock", {
  call: ({ lockKey, holder, ttlMs }: { lockKey: string; holder: string; ttlMs: number }) => ({
    keys: [lockKey],
    args: [holder, ttlMs],
  }),
  answer: booleanAnswer,
});

/** Releases a lock that the holder still holds. */
export const releaseLock = defineScript("release-lock", {
  call: ({ lockKey, holder }: { lockKey: string; holder: string }) => ({ keys: [lockKey], args: [holder] }),
  answer: noAnswer,
});
