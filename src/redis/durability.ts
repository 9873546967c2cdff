import type { Redis } from "ioredis";
import { RedisError } from "../errors.ts";
import { areApart, primaries, type RedisClient } from "./client.ts";
import { connectRedis } from "./connection.ts";
import type { Keys } from "./keys.ts";

/** What Redis keeps when it crashes or fails over. `null`: it does not say. */
export interface Durability {
  /** Whether Redis appends every write to a file. */
  appendOnly: boolean | null;
  /** When that file is synced to disk. */
  fsync: "always" | "everysec" | "no" | null;
  /** Replicas that are connected to the primary now. */
  replicas: number | null;
}

/** Reads what Redis keeps: of several primaries, what the weakest one keeps. Managed services can hide some of it. */
export async function readDurability(...clients: readonly RedisClient[]): Promise<Durability> {
  const all = await Promise.all(clients.flatMap(primaries).map(readPrimary));
  const weakest = <T>(values: readonly T[], order: readonly T[]) =>
    order.find((value) => values.includes(value)) ?? null;
  const replicas = all.flatMap((each) => each.replicas ?? []);
  return {
    appendOnly: weakest(
      all.map((each) => each.appendOnly),
      [false, null, true],
    ),
    fsync: weakest(
      all.map((each) => each.fsync),
      ["no", "everysec", null, "always"],
    ),
    replicas: replicas.length === 0 ? null : Math.min(...replicas),
  };
}

async function readPrimary(redis: Redis): Promise<Durability> {
  const [info, config] = await Promise.all([
    redis.info(),
    // Managed services often refuse CONFIG.
    redis.config("GET", "appendfsync").catch(() => []),
  ]);
  const value = (name: string) => new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1];
  const [appendOnly, replicas] = [value("aof_enabled"), value("connected_slaves")];
  const fsync = (config as unknown[])[1];
  return {
    appendOnly: appendOnly === undefined ? null : appendOnly === "1",
    fsync: fsync === "always" || fsync === "everysec" || fsync === "no" ? fsync : null,
    replicas: replicas === undefined ? null : Number(replicas),
  };
}

/**
 * Returns what a crash or a failover can lose, with the next step; `undefined` if acknowledged events survive both.
 *
 * @param required replicas that must have an event before it is acknowledged
 */
export function describeLoss({ appendOnly, fsync, replicas }: Durability, required: number): string | undefined {
  const losses: string[] = [];
  if (appendOnly === false) {
    losses.push("a crash of Redis loses the events since its last snapshot (set appendonly yes)");
  } else if (fsync !== null && fsync !== "always") {
    const span = fsync === "everysec" ? "about the last second" : "the last half minute";
    losses.push(`a power cut loses ${span} of events (appendfsync ${fsync}; set always)`);
  }
  if (replicas !== null && replicas > 0 && required === 0) {
    losses.push("a failover loses what is not replicated yet (set KINDLING_REDIS_REPLICAS)");
  }
  return losses.length === 0 ? undefined : `${losses.join("; ")}.`;
}

/** Waits until enough replicas have what was written. */
export interface Replication {
  /**
   * Resolves once the replicas have every write to the ledger that Redis answered before this call.
   *
   * @param userId User whose record they must have, too
   * @throws {RedisError} `redis_unavailable` if too few of them have it in time
   */
  confirm(userId?: string): Promise<void>;
  close(): void;
}

/** Options for {@link createReplication}. */
export interface ReplicationOptions {
  /** Redis of the records. */
  recordsUrl: string;
  /** Redis of the ledger, which can be the same. */
  ledgerUrl: string;
  keys: Pick<Keys, "ledgerPart" | "replicated">;
  /** How many replicas must have the writes. 0: none, and no connection is opened. */
  replicas: number;
  /** Time-out of a command, in milliseconds. Replicas get half of it. */
  timeoutMs: number;
  onError: (error: Error) => void;
}

/**
 * Creates the wait for replicas. It has connections of its own, because `WAIT` blocks the others' commands. `WAIT` covers
 * the writes of its own connection and all before them, hence the markers. Source:
 * https://redis.io/docs/latest/commands/wait/
 */
export function createReplication(options: ReplicationOptions): Replication {
  const { recordsUrl, ledgerUrl, keys, replicas, timeoutMs, onError } = options;
  if (replicas === 0) return { confirm: async () => undefined, close: () => undefined };
  const ledgerRedis = connectRedis({ url: ledgerUrl, timeoutMs, onError });
  const recordsRedis = recordsUrl === ledgerUrl ? ledgerRedis : connectRedis({ url: recordsUrl, timeoutMs, onError });

  /** Writes a marker, and returns how many replicas have it. */
  const mark = async (redis: RedisClient, key: string) => {
    // One pipeline, so that a cluster sends both to the same master.
    const pipeline = redis
      .pipeline()
      .set(key, "1", "PX", markerMs)
      .wait(replicas, Math.ceil(timeoutMs / 2));
    const [[refused] = [], [error, have] = []] = (await pipeline.exec()) ?? [];
    // Without the marker, `WAIT` would cover older writes only.
    if (refused ?? error) throw refused ?? error;
    return Number(have);
  };
  const wait = async (redis: RedisClient, key: string) => {
    const have = await mark(redis, key).catch(async (error: unknown) => {
      if (!hasMoved(error)) throw error;
      // Unlike a pipeline, one command follows its slot to the other master, and makes the connection remember it.
      await redis.exists(key);
      return mark(redis, key);
    });
    if (have >= replicas) return;
    throw new RedisError(
      "redis_unavailable",
      `Only ${have} of ${replicas} replicas have the last writes: check them, or lower KINDLING_REDIS_REPLICAS.`,
    );
  };
  return {
    async confirm(userId) {
      const ofRecord = userId !== undefined && areApart(recordsRedis, ledgerRedis);
      await Promise.all([
        wait(ledgerRedis, keys.ledgerPart("replicated")),
        ofRecord ? wait(recordsRedis, keys.replicated(userId)) : undefined,
      ]);
    },
    close() {
      ledgerRedis.disconnect();
      recordsRedis.disconnect();
    },
  };
}

function hasMoved(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("MOVED ");
}

/** Lifetime of a marker, in milliseconds. */
const markerMs = 10_000;
