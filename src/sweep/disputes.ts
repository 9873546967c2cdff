import { createHash } from "node:crypto";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";

/** A user whose record was compared with one of Kinde's listings. */
export interface ComparedUser {
  userId: string;
  different: boolean;
  /** What was compared of the listing; `undefined` if it does not show the user, so that only fetches find changes. */
  listed?: unknown;
}

/** What becomes of the users that differ. */
export interface SettledDifferences {
  /** Users to fetch now. */
  refresh: string[];
  /** Users that differ as before, although they were fetched for it twice. Some of them can be due for another fetch. */
  disputed: string[];
}

/**
 * Differences that a fetch did not resolve, because Kinde's listings and its answers about one user disagree. Without this
 * memory, each comparison would fetch those users again. Time alone decides: a difference can come back because another
 * event was lost, so it is fetched for again after as long as it has lasted already.
 */
export interface Disputes {
  /** Notes the users that differ, and forgets those that agree. */
  settle(compared: readonly ComparedUser[]): Promise<SettledDifferences>;
}

/** Options for {@link createDisputes}. */
export interface DisputesOptions {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  kind: string;
  /** How long Kinde can answer with the state before a change: a fetch so soon after another counts as the same one. Milliseconds. */
  settleMs: number;
  /** Redis' clock. */
  clock: () => Promise<number>;
  /** Users that are noted at most; others are fetched each time. Default 100,000. */
  mostNotes?: number;
}

/** Longest pause between two fetches for a difference. */
export const longestPauseMs = 86_400_000;
/** The same for users that a listing does not show. */
export const longestUnlistedPauseMs = 3_600_000;
/** From the first note: nothing else deletes those of users that are compared no more. */
const ttlMs = 7 * 86_400_000;

/** Creates the memory. */
export function createDisputes(options: DisputesOptions): Disputes {
  const { redis, keys, kind, settleMs, clock, mostNotes = 100_000 } = options;
  const key = keys.ledgerPart(`sweep:disputes:${kind}`);
  return {
    async settle(compared) {
      const different = compared.filter((each) => each.different);
      const size = await redis.hlen(key);
      const same = size > 0 ? compared.filter((each) => !each.different).map(({ userId }) => userId) : [];
      if (same.length > 0) await redis.hdel(key, ...same);
      if (different.length === 0) return { refresh: [], disputed: [] };
      const userIds = different.map(({ userId }) => userId);
      const [notes, lifetime, now] = await Promise.all([redis.hmget(key, ...userIds), redis.pttl(key), clock()]);
      const found = different.map((each, index) => judge(each, notes[index], { now, settleMs }));
      const due = found.filter((each) => each.due);
      const room = Math.max(0, mostNotes - size);
      const noted = [...due.filter(({ known }) => known), ...due.filter(({ known }) => !known).slice(0, room)];
      if (noted.length > 0) {
        const writing = redis.multi().hset(key, ...noted.flatMap(({ userId, note }) => [userId, note]));
        // Longer than given if the clock of Redis stepped back.
        if (lifetime < 0 || lifetime > ttlMs) writing.pexpire(key, ttlMs);
        await writing.exec();
      }
      const idsOf = (users: readonly Found[]) => users.map(({ userId }) => userId);
      return { refresh: idsOf(due), disputed: idsOf(found.filter((each) => each.disputed)) };
    },
  };
}

interface Found {
  userId: string;
  known: boolean;
  due: boolean;
  disputed: boolean;
  /** The note to write if it is due. */
  note: string;
}

function judge(
  { userId, listed }: ComparedUser,
  text: string | null | undefined,
  { now, settleMs }: { now: number; settleMs: number },
): Found {
  const [noted, ...times] = text?.split(":") ?? [];
  const [foundAt = Number.NaN, askedAt = Number.NaN] = times.map(Number);
  const fingerprint = fingerprintOf(listed);
  // A time ahead of the clock was noted before the clock stepped back: it tells nothing.
  const known = noted === fingerprint && foundAt <= askedAt && askedAt <= now;
  if (!known) return { userId, known, due: true, disputed: false, note: `${fingerprint}:${now}:${now}` };
  const longest = listed === undefined ? longestUnlistedPauseMs : longestPauseMs;
  const due = now - askedAt >= Math.min(askedAt - foundAt, longest);
  const asked = now - askedAt < settleMs ? askedAt : now;
  return { userId, known, due, disputed: askedAt > foundAt, note: `${fingerprint}:${foundAt}:${asked}` };
}

function fingerprintOf(listed: unknown): string {
  if (listed === undefined) return "unlisted";
  return createHash("sha1").update(JSON.stringify(listed)).digest("base64url").slice(0, 12);
}
