import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";

/** A user whose record was compared with a listing. */
export interface ComparedUser {
  userId: string;
  /** When the record was fetched, in milliseconds since the epoch. */
  fetchedAt: number;
  different: boolean;
  /** Identifies what the listing shows. */
  fingerprint: string;
}

/**
 * Differences that a fetch did not resolve, because Kinde's listings and its answers about one user disagree. Without this
 * memory, each walk would fetch those users again.
 */
export interface Disputes {
  /** Returns the users to refresh, and how many are disputed. Forgets the disputes of users who no longer differ. */
  settle(compared: readonly ComparedUser[]): Promise<{ open: string[]; disputed: number }>;
}

/** Creates the memory. A dispute is forgotten, and the user fetched again, after `ttlMs`. */
export function createDisputes({
  redis,
  keys,
  kind,
  ttlMs,
  clock,
}: {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  kind: string;
  ttlMs: number;
  /** Redis' clock, which records are stamped by. */
  clock: () => Promise<number>;
}): Disputes {
  const key = keys.ledgerPart(`sweep:disputes:${kind}`);
  return {
    async settle(compared) {
      const different = compared.filter((each) => each.different);
      const same = compared.filter((each) => !each.different).map(({ userId }) => userId);
      if (same.length > 0 && (await redis.exists(key)) === 1) await redis.hdel(key, ...same);
      if (different.length === 0) return { open: [], disputed: 0 };
      const [notes, now] = await Promise.all([redis.hmget(key, ...different.map(({ userId }) => userId)), clock()]);
      const open = different.filter((each, index) => !isDisputed(each, notes[index] ?? null, { ttlMs, now }));
      if (open.length > 0) {
        const noted = open.flatMap(({ userId, fingerprint }) => [userId, `${fingerprint}:${now}`]);
        await redis
          .multi()
          .hset(key, ...noted)
          .pexpire(key, ttlMs)
          .exec();
      }
      return { open: open.map(({ userId }) => userId), disputed: different.length - open.length };
    },
  };
}

function isDisputed(
  { fingerprint, fetchedAt }: ComparedUser,
  note: string | null,
  { ttlMs, now }: { ttlMs: number; now: number },
): boolean {
  const [noted, text] = note?.split(":") ?? [];
  const foundAt = Number(text);
  return noted === fingerprint && fetchedAt > foundAt && Math.abs(now - foundAt) < ttlMs;
}
