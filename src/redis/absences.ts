import { z } from "zod";
import { type RedisClient, readAll } from "./client.ts";
import type { Keys } from "./keys.ts";
import { takeLock } from "./lock.ts";
import { defineScript, noAnswer } from "./script.ts";
import { storedShape } from "./stored.ts";

/**
 * Users that Kinde did not find, without an acknowledged deletion: evidence, not a conclusion. Times follow Redis' clock,
 * which all processes share.
 */
export interface Absences {
  /** Counts an observation. `observations` are spaced by the gap; `recent` counts users with a record found absent lately. */
  note(userId: string, held: boolean): Promise<{ observations: number; recent: number }>;
  /** Forgets what was noted about a user, because Kinde has the user or the deletion is certain. */
  clear(userId: string): Promise<void>;
  /** Returns the users that have a noted absence. */
  noted(userIds: readonly string[]): Promise<Set<string>>;
  /** Takes users that are due for another look. */
  takeDue(limit: number): Promise<string[]>;
  /** Marks a user without a record as unknown for a short time, and wakes the readers that wait for the user. */
  noteUnknown(userId: string, ticket: number): Promise<void>;
  /** Counts the users that Kinde did not find in the last hours, by whatever refresh, although they have no record. */
  countUnknown(userIds: readonly string[]): Promise<number>;
  /** Returns those of the users that are marked as unknown and have no record. */
  unknown(userIds: readonly string[]): Promise<Set<string>>;
  /** Wakes readers that wait for users who are marked as unknown. */
  wakeReaders(userIds: Iterable<string>): Promise<void>;
  /** Suspends conclusions and forgets the observations: too many users are absent at once to be believed. */
  suspend(): Promise<void>;
  /** Ends the suspension and forgets which users were absent lately. */
  resume(): Promise<void>;
  isSuspended(): Promise<boolean>;
  /**
   * Runs a probe, once for the fleet in five to ten seconds: later callers get the same result.
   *
   * @returns `undefined` while another process is probing
   */
  probe(run: () => Promise<boolean>): Promise<boolean | undefined>;
  /**
   * Returns the figures for operators: users with a record to look at again, and since when conclusions are suspended, in
   * milliseconds since the epoch.
   */
  summary(): Promise<{ users: number; suspendedSince: number | null }>;
}

/** Options for {@link createAbsences}. */
export interface AbsencesOptions {
  redis: RedisClient;
  /** Where the records are, and readers wait. Default: beside the ledger. */
  publicRedis?: RedisClient;
  keys: Keys;
  now: () => number;
  /** Shortest time between two observations that count, in milliseconds. */
  gapMs: number;
}

/** How long the breaker remembers an absent user, at least, in milliseconds. */
const leastWindowMs = 60_000;
/** How long an observation counts, at least, in milliseconds: one that nobody followed up is no evidence later. */
const leastCountsForMs = 86_400_000;
/** A suspension that nobody renews ends by itself. Milliseconds. */
const suspensionMs = 3_600_000;
/** How long the result of a probe counts, in milliseconds: a failed one is repeated sooner. */
const probeMs = { answered: 10_000, unanswered: 5_000 };
/** First and longest time that an unknown user costs no further call, in milliseconds. */
const unknownMs = { first: 5_000, longest: 300_000 };
/** How long an unknown user is remembered, in milliseconds. */
const rememberUnknownMs = 2 * 3_600_000;

const noteAbsence = defineScript("note-absence", {
  call: (input: {
    hashKey: string;
    dueKey: string;
    recentKey: string;
    userId: string;
    gapMs: number;
    windowMs: number;
    held: boolean;
    countsForMs: number;
  }) => ({
    keys: [input.hashKey, input.dueKey, input.recentKey],
    args: [input.userId, input.gapMs, input.windowMs, input.held ? "1" : "", input.countsForMs],
  }),
  answer: z.tuple([z.int(), z.int()]).transform(([observations, recent]) => ({ observations, recent })),
});

const takeDueAbsences = defineScript("take-due-absences", {
  call: ({ dueKey, hashKey, limit, gapMs }: { dueKey: string; hashKey: string; limit: number; gapMs: number }) => ({
    keys: [dueKey, hashKey],
    args: [limit, gapMs],
  }),
  answer: z.array(z.string()),
});

const noteUnknown = defineScript("note-unknown", {
  call: (input: { markerKey: string; timesKey: string }) => ({
    keys: [input.markerKey, input.timesKey],
    args: [unknownMs.first, unknownMs.longest, rememberUnknownMs],
  }),
  answer: noAnswer,
});

const cutLifetime = defineScript("cut-lifetime", {
  call: ({ key, longestMs }: { key: string; longestMs: number }) => ({ keys: [key], args: [longestMs] }),
  answer: noAnswer,
});

const storedSuspension = storedShape(1, z.object({ since: z.number() }));

/** Key of the hash of absences, which `begin-refresh.lua` reads too. */
export function absencesKey(keys: Pick<Keys, "ledgerPart">): string {
  return keys.ledgerPart("absences");
}

/** Creates the notes over one connection. */
export function createAbsences({ redis, publicRedis = redis, keys, now, gapMs }: AbsencesOptions): Absences {
  const hashKey = absencesKey(keys);
  const dueKey = keys.ledgerPart("absences:due");
  const recentKey = keys.ledgerPart("absences:recent");
  const suspendedKey = keys.ledgerPart("absences:suspended");
  const probeKey = keys.ledgerPart("absences:probe");
  const unknownKey = (userId: string) => keys.ledgerPart(`unknown:${userId}`);
  const timesKey = (userId: string) => keys.ledgerPart(`unknown:${userId}:times`);
  const countsForMs = Math.max(leastCountsForMs, 4 * gapMs);
  const windowMs = Math.max(leastWindowMs, 2 * gapMs);
  const suspendedSince = async () => storedSuspension.parse(await redis.get(suspendedKey))?.since;

  return {
    note: (userId, held) =>
      noteAbsence(redis, { hashKey, dueKey, recentKey, userId, gapMs, windowMs, held, countsForMs }),
    async clear(userId) {
      await redis.multi().hdel(hashKey, userId).zrem(dueKey, userId).zrem(recentKey, userId).exec();
    },
    async noted(userIds) {
      if (userIds.length === 0) return new Set();
      const notes = await redis.hmget(hashKey, ...userIds);
      return new Set(userIds.filter((_, index) => notes[index] !== null));
    },
    takeDue: (limit) => takeDueAbsences(redis, { dueKey, hashKey, limit, gapMs }),
    async noteUnknown(userId, ticket) {
      await noteUnknown(redis, { markerKey: unknownKey(userId), timesKey: timesKey(userId) });
      await publicRedis.publish(keys.commits(userId), String(ticket));
    },
    async countUnknown(userIds) {
      if (userIds.length === 0) return 0;
      return (await redis.mget(userIds.map(timesKey))).filter((times) => times !== null).length;
    },
    async unknown(userIds) {
      if (userIds.length === 0) return new Set();
      const markers = await redis.mget(userIds.map(unknownKey));
      const marked = userIds.filter((_, index) => markers[index] !== null);
      if (marked.length === 0) return new Set();
      const longestMs = unknownMs.longest;
      await cutLifetime.many(
        redis,
        marked.map((userId) => ({ key: unknownKey(userId), longestMs })),
      );
      // Another source can have created the record since: an event, or a sweep that found an import.
      const records = await readAll(publicRedis, marked.map(keys.flags));
      return new Set(marked.filter((_, index) => records[index] === null));
    },
    async wakeReaders(userIds) {
      await Promise.all([...userIds].map((userId) => publicRedis.publish(keys.commits(userId), "0")));
    },
    async suspend() {
      const text = storedSuspension.serialize({ since: (await suspendedSince()) ?? now() });
      await redis.multi().set(suspendedKey, text, "PX", suspensionMs).del(hashKey).exec();
    },
    async resume() {
      await redis.del(suspendedKey, recentKey);
    },
    isSuspended: async () => (await redis.exists(suspendedKey)) === 1,
    async probe(run) {
      if (!(await takeLock(redis, { lockKey: probeKey, holder: "running", ttlMs: probeMs.answered }))) {
        const earlier = await redis.get(probeKey);
        return earlier === "answered" ? true : earlier === "unanswered" ? false : undefined;
      }
      try {
        const answered = await run();
        const result = answered ? "answered" : "unanswered";
        await redis.set(probeKey, result, "PX", probeMs[result]);
        return answered;
      } catch (error) {
        await redis.del(probeKey);
        throw error;
      }
    },
    async summary() {
      const [users, since] = await Promise.all([redis.zcard(dueKey), suspendedSince()]);
      return { users, suspendedSince: since ?? null };
    },
  };
}
