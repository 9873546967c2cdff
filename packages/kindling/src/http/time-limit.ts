import { longestTimer } from "../reader/redis.ts";

/** Returns a signal that aborts after `ms` milliseconds. */
export function timeLimit(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.min(ms, longestTimer));
}

/**
 * Returns the token, or what the function for it returns.
 *
 * @throws What the function throws, or the signal's reason if it takes longer
 */
export async function tokenOf(token: string | (() => string | Promise<string>), signal: AbortSignal): Promise<string> {
  if (typeof token === "string") return token;
  signal.throwIfAborted();
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
  });
  try {
    return await Promise.race([token(), aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
