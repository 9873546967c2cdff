import { createHash } from "node:crypto";
import { Cluster, type Redis } from "ioredis";

/**
 * A connection to one Redis primary, or connections to all masters of a cluster. A command goes to the master of its key,
 * so all keys of one command, script or transaction must share a slot. Commands without a key go to any master: the
 * functions of this file take their place.
 */
export type RedisClient = Redis | Cluster;

/** Returns whether the client leads to a cluster. */
export function isCluster(redis: RedisClient): redis is Cluster {
  return redis instanceof Cluster;
}

/** Returns whether some records are on another primary than the ledger: what loses the ones can then keep the other. */
export function areApart(redis: RedisClient, internal: RedisClient): boolean {
  return redis !== internal || isCluster(redis);
}

/** Returns one connection per primary: that of a single Redis, or those to all masters of a cluster. */
export function primaries(redis: RedisClient): readonly Redis[] {
  return isCluster(redis) ? redis.nodes("master") : [redis];
}

/** Reads string keys of any slots, in one round trip. A key of another type reads as missing, as `MGET` has it. */
export async function readAll(redis: RedisClient, keys: readonly string[]): Promise<(string | null)[]> {
  if (keys.length === 0) return [];
  return isCluster(redis)
    ? Promise.all(keys.map((key) => redis.get(key).catch(missingIfOtherType)))
    : redis.mget([...keys]);
}

function missingIfOtherType(error: unknown): null {
  if (error instanceof Error && error.message.startsWith("WRONGTYPE")) return null;
  throw error;
}

/** Counts those of the keys that exist, whatever their slots. */
export async function countExisting(redis: RedisClient, keys: readonly string[]): Promise<number> {
  if (keys.length === 0) return 0;
  if (!isCluster(redis)) return redis.exists([...keys]);
  const found = await Promise.all(keys.map((key) => redis.exists(key)));
  return found.reduce((sum, count) => sum + count, 0);
}

/** Counts all keys. */
export async function countKeys(redis: RedisClient): Promise<number> {
  const sizes = await Promise.all(primaries(redis).map((primary) => primary.dbsize()));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Takes one step of a scan over all keys. It is complete when the cursor is `"0"` again. A cluster's masters are scanned
 * one after the other, so its cursor is `<place of the master>:<cursor>`: it is worth nothing once {@link readRunId}
 * changes.
 */
export async function scanKeys(
  redis: RedisClient,
  cursor: string,
  { match, count }: { match?: string; count: number },
): Promise<[cursor: string, keys: string[]]> {
  const scan = (node: Redis, from: string) =>
    match === undefined ? node.scan(from, "COUNT", count) : node.scan(from, "MATCH", match, "COUNT", count);
  if (!isCluster(redis)) return scan(redis, cursor);
  const masters = await inOrder(redis);
  const [place = "0", from = "0"] = cursor.includes(":") ? cursor.split(":") : ["0", cursor];
  const master = masters[Number(place)];
  if (master === undefined) return ["0", []];
  const [next, keys] = await scan(master.redis, from);
  if (next !== "0") return [`${place}:${next}`, keys];
  return [Number(place) + 1 < masters.length ? `${Number(place) + 1}:0` : "0", keys];
}

/** Returns whether a scan begins at a cursor, or with another master of the cluster, or is complete. */
export function isAtStart(cursor: string): boolean {
  return cursor === "0" || cursor.endsWith(":0");
}

/**
 * Returns the id of the Redis process that serves the connection, or of all masters together. Another id means a restart
 * or a failover, after which writes can be missing. Empty if the service hides it.
 */
export async function readRunId(redis: RedisClient): Promise<string> {
  if (!isCluster(redis)) return runIdOf(redis);
  const ids = (await inOrder(redis)).map(({ runId }) => runId);
  return createHash("sha1").update(ids.join()).digest("hex");
}

async function runIdOf(redis: Redis): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redis.info("server"))?.[1] ?? "";
}

async function inOrder(cluster: Cluster): Promise<{ redis: Redis; runId: string }[]> {
  const masters = await Promise.all(primaries(cluster).map(async (redis) => ({ redis, runId: await runIdOf(redis) })));
  return masters.sort((a, b) => (a.runId < b.runId ? -1 : 1));
}
