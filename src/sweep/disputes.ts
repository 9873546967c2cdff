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

/** Options for {@link createDisputes}. */
export interface DisputesOptions {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  kind: string;
  /** After so long a dispute is forgotten, and the user fetched again. Milliseconds. */
  ttlMs: number;
  /** How long Kinde can answer with the state before a change: such a fetch disputes nothing. Milliseconds. */
  settleMs: number;
  /** Redis' clock, which records are stamped by. */
  clock: () => Promise<number>;
}

/** Creates the memory. */
export function createDisputes({ redis, keys, kind, ttlMs, settleMs, clock }: DisputesOptions): Disputes {
  const key = keys.ledgerPart(`sweep:disputes:${kind}`);
  return {
    async settle(compared) {
      const different = compared.filter((each) => each.different);
      const same = compared.filter((each) => !each.different).map(({ userId }) => userId);
      if (same.length > 0 && (await redis.exists(key)) === 1) await redis.hdel(key, ...same);
      if (different.length === 0) return { open: [], disputed: 0 };
      const [notes, now] = await Promise.all([redis.hmget(key, ...different.map(({ userId }) => userId)), clock()]);
      const found = different.map((each, index) => ({ ...each, foundAt: foundBefore(each, notes[index], ttlMs, now) }));
      const open = found.filter(({ foundAt, fetchedAt }) => foundAt === undefined || fetchedAt <= foundAt + settleMs);
      if (open.length > 0) {
        const noted = open.flatMap(({ userId, fingerprint, foundAt = now }) => [userId, `${fingerprint}:${foundAt}`]);
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

/** Returns when the same difference was found first; `undefined` if it was not found before, or too long ago. */
function foundBefore({ fingerprint }: ComparedUser, note: string | null | undefined, ttlMs: number, now: number) {
  const [noted, text] = note?.split(":") ?? [];
  const foundAt = Number(text);
  return noted === fingerprint && Math.abs(now - foundAt) < ttlMs ? foundAt : undefined;
}
