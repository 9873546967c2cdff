import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";

/**
 * What the search does not show, and is compared by walks of its own. `permissions` are those that flags read, and
 * `otherPermissions` the rest, if records keep them.
 */
export const walkKinds = ["roles", "permissions", "otherPermissions", "plans"] as const;
/** One of {@link walkKinds}. */
export type WalkKind = (typeof walkKinds)[number];

/** What a walk compares, in words for an operator. */
export const walkWords: Readonly<Record<WalkKind, string>> = {
  roles: "roles",
  permissions: "permissions",
  otherPermissions: "permissions that no flag reads",
  plans: "plans",
};

/** A completed walk. Times in milliseconds since the epoch. */
export interface FinishedWalk {
  startedAt: number;
  finishedAt: number;
  calls: number;
  /** Records that were compared. */
  compared: number;
  different: number;
  /** Records that differ as before, although they were fetched twice because of that. Not among `different`. */
  disputed: number;
}

/** The last walks of one kind. */
export interface WalkHistory {
  last: FinishedWalk | null;
  /** The last one that gave up; `null` if one has been completed since. */
  failed: { at: number; reason: string } | null;
}

/** The history of walks in Redis. */
export interface WalkLog {
  read(): Promise<Partial<Record<WalkKind, WalkHistory>>>;
  finish(kind: WalkKind, walk: FinishedWalk): Promise<void>;
  /** Forgets the walks of a kind that is not needed any more. */
  forget(kind: WalkKind): Promise<void>;
  fail(kind: WalkKind, failed: { at: number; reason: string }): Promise<void>;
}

const count = z.int().nonnegative();
const stored = storedShape<WalkHistory>(
  1,
  z.object({
    last: z
      .object({
        startedAt: z.number(),
        finishedAt: z.number(),
        calls: count,
        compared: count,
        different: count,
        disputed: count,
      })
      .nullable(),
    failed: z.object({ at: z.number(), reason: z.string() }).nullable(),
  }),
);

/** Shortest time between the starts of two walks of a kind, in milliseconds. */
export const shortestWalkMs = 60_000;
/** Pause after a walk that Kinde rejected: an operator has to act first. Milliseconds. */
const failedPauseMs = 900_000;

/** Returns whether another walk of a kind is due. */
export function isWalkDue(history: WalkHistory | undefined, now: number): boolean {
  if (history?.failed) return Math.abs(now - history.failed.at) >= failedPauseMs;
  return history?.last == null || Math.abs(now - history.last.startedAt) >= shortestWalkMs;
}

/** Creates the log. */
export function createWalkLog({ redis, keys }: { redis: RedisClient; keys: Pick<Keys, "ledgerPart"> }): WalkLog {
  const key = keys.ledgerPart("sweep:walks");
  const write = (kind: WalkKind, history: WalkHistory) => redis.hset(key, kind, stored.serialize(history));
  return {
    async read() {
      const texts = await redis.hgetall(key);
      const histories = walkKinds.map((kind) => [kind, stored.parse(texts[kind] ?? null)] as const);
      return Object.fromEntries(histories.filter(([, history]) => history !== undefined));
    },
    async finish(kind, walk) {
      await write(kind, { last: walk, failed: null });
    },
    async forget(kind) {
      await redis.hdel(key, kind);
    },
    async fail(kind, failed) {
      const before = stored.parse(await redis.hget(key, kind));
      await write(kind, { last: before?.last ?? null, failed });
    },
  };
}
