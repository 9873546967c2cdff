import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";

/** Something that happened to a user. It holds names and codes only, no personal data. */
export interface TrailEntry {
  /** Milliseconds since the epoch, by the clock of the process that noted it. */
  at: number;
  kind: "event" | "refresh" | "action";
  /** Type of the event, cause of the refresh, or what an operator did. */
  what: string;
  /** What came of it: an outcome, the code of an error, or the operator's name. */
  outcome: string;
}

/** What happened to users in the last days, for people who look into one of them. */
export interface Trail {
  /** Notes an entry. It is written about a second later, and lost if the process is killed before. */
  note(userId: string, entry: Omit<TrailEntry, "at">): void;
  /** Returns what is kept about a user, latest first. */
  read(userId: string): Promise<TrailEntry[]>;
  /** Writes what is not written yet. */
  close(): Promise<void>;
}

/** Options for {@link createTrail}. */
export interface TrailOptions {
  redis: RedisClient;
  keys: Pick<Keys, "trail">;
  /** Entries of all users together; 0 writes none. */
  length: number;
  now: () => number;
  onError: (error: unknown) => void;
}

/**
 * Streams that users share: a few hundred of fixed length have a known size, unlike one stream per user, and reading one
 * is cheap, unlike one stream for all.
 */
const shards = 512;
const keptForMs = 14 * 86_400_000;
const writeMs = 1_000;
/** Entries that wait to be written. Further ones are dropped: a sweep can refresh more users than anybody looks at. */
const mostUnwritten = 2_000;

const letters = { event: "e", refresh: "r", action: "a" } as const;
const kinds: Readonly<Record<string, TrailEntry["kind"]>> = { e: "event", r: "refresh", a: "action" };
const longestText = 100;

/** Opens the trail. */
export function createTrail({ redis, keys, length, now, onError }: TrailOptions): Trail {
  const kept = Math.ceil(length / shards);
  let unwritten: ({ userId: string } & TrailEntry)[] = [];
  let timer: NodeJS.Timeout | undefined;

  const write = async () => {
    clearTimeout(timer);
    timer = undefined;
    const entries = unwritten;
    unwritten = [];
    if (entries.length === 0) return;
    const pipeline = redis.pipeline();
    for (const { userId, at, kind, what, outcome } of entries) {
      const fields = ["u", userId, "t", at, "k", letters[kind], "w", what, "o", outcome];
      pipeline.xadd(keys.trail(shardOf(userId)), "MAXLEN", "~", kept, "*", ...fields);
    }
    for (const shard of new Set(entries.map(({ userId }) => shardOf(userId)))) {
      pipeline.pexpire(keys.trail(shard), keptForMs);
    }
    try {
      const results = await pipeline.exec();
      const failed = results?.find(([error]) => error !== null)?.[0];
      if (failed) onError(failed);
    } catch (error) {
      onError(error);
    }
  };

  return {
    note(userId, { kind, what, outcome }) {
      if (kept === 0 || unwritten.length >= mostUnwritten) return;
      const text = { what: what.slice(0, longestText), outcome: outcome.slice(0, longestText) };
      unwritten.push({ userId, at: now(), kind, ...text });
      timer ??= setTimeout(() => void write(), writeMs).unref();
    },
    async read(userId) {
      await write();
      const entries = await redis.xrevrange(keys.trail(shardOf(userId)), "+", "-");
      const since = now() - keptForMs;
      return entries
        .flatMap(([, fields]) => parse(fields, userId) ?? [])
        .filter(({ at }) => at > since)
        .sort((a, b) => b.at - a.at);
    },
    close: write,
  };
}

function parse(fields: readonly string[], userId: string): TrailEntry | undefined {
  const field = (name: string) => fields[fields.indexOf(name) + 1] ?? "";
  const kind = kinds[field("k")];
  if (field("u") !== userId || kind === undefined) return undefined;
  return { at: Number(field("t")) || 0, kind, what: field("w"), outcome: field("o") };
}

/** FNV-1a: ids are random, so any cheap hash spreads them. */
function shardOf(userId: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < userId.length; index += 1) {
    hash = Math.imul(hash ^ userId.charCodeAt(index), 0x01000193) >>> 0;
  }
  return hash % shards;
}
