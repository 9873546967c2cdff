import { nothing, within } from "../reader/redis.ts";

/** A read that has departed was sent to Redis: who comes later must not share it, or could miss a write of their own. */
export type Share<T> = (key: string, read: (depart: () => void) => Promise<T>) => Promise<T>;

interface Shared<T> {
  departed: boolean;
  readonly at: number;
  readonly answer: Promise<T>;
}

/**
 * Runs one read per key at a time, and has at most one more waiting, which everyone who comes meanwhile shares.
 *
 * @param longestMs Nobody waits longer for another request's read. On Cloudflare Workers it never ends if that request is
 *   cancelled
 */
export function createShare<T extends { flags: unknown }>(longestMs = 5_000): Share<T> {
  const latest = new Map<string, Shared<T>>();
  const isOver = ({ at }: Shared<T>) => performance.now() - at >= longestMs;
  const answerOf = ({ at, answer }: Shared<T>) => within(at + longestMs - performance.now(), () => answer);
  const forgetThoseOver = () => {
    // In the order of their start.
    for (const [key, shared] of latest) {
      if (!isOver(shared)) return;
      latest.delete(key);
    }
  };

  const share: Share<T> = async (key, read) => {
    forgetThoseOver();
    const current = latest.get(key);
    if (current?.departed === false) {
      const answer = await answerOf(current);
      return answer === nothing ? share(key, read) : copy(answer);
    }
    const start = async () => {
      if (current !== undefined) await answerOf(current);
      try {
        return await read(() => {
          next.departed = true;
        });
      } finally {
        if (latest.get(key) === next) latest.delete(key);
      }
    };
    // Deferred, so that requests of the same tick share even a read that needs no verification.
    const next: Shared<T> = { departed: false, at: performance.now(), answer: Promise.resolve().then(start) };
    latest.delete(key);
    latest.set(key, next);
    return next.answer;
  };
  return share;
}

/** An app that changes one answer must not change another request's. */
function copy<T extends { flags: unknown }>(answer: T): T {
  return { ...answer, flags: structuredClone(answer.flags) };
}
