import type { Store } from "../store.ts";
import { findMentions, type Mention } from "./find-mentions.ts";

/** What was erased, by kind, and the search that proves it. */
export interface Erased {
  userId: string;
  erased: { records: number; jobs: number; entries: number };
  /** Keys of the second search. */
  searched: number;
  /** Keys that still mention the user: a job that is running. Empty if the erasure is complete. */
  found: string[];
}

/**
 * Removes everything that Redis holds about a user under the prefix: record, profile, ledger entries, failures, jobs and
 * requests. Then searches every key again, by name and content.
 *
 * Kinde is not changed: a user who still exists there is stored again by the next event or sweep.
 */
export async function eraseUser(userId: string, store: Store): Promise<Erased> {
  const { redis, publicRedis, keys, ledger, absences, queues } = store;
  const everywhere = [...new Set([publicRedis, redis])];
  const records = await publicRedis.unlink(keys.flags(userId), keys.profile(userId));
  const jobs = await removeJobs(queues, (await findMentions(everywhere, keys, userId)).mentions);
  let entries = (await ledger.discard(userId)) ? 1 : 0;
  await absences.clear(userId);
  for (const mention of (await findMentions(everywhere, keys, userId)).mentions)
    entries += await removeMention(mention);
  const second = await findMentions(everywhere, keys, userId);
  return {
    userId,
    erased: { records, jobs, entries },
    searched: second.searched,
    found: second.mentions.map(({ key }) => key),
  };
}

/** Removes the jobs among the mentions, except those that a worker is running. */
async function removeJobs(queues: Store["queues"], mentions: readonly Mention[]): Promise<number> {
  const { refresh, bulk, confirm, requests, fanout, sweep, audit, pushes } = queues;
  const all = [refresh, bulk, confirm, requests, fanout, sweep, audit, ...pushes.map(({ queue }) => queue)];
  let removed = 0;
  for (const queue of all) {
    const prefix = queue.toKey("");
    const ids = new Set(
      mentions
        .filter(({ key, type }) => type === "hash" && key.startsWith(prefix))
        .map(({ key }) => key.slice(prefix.length)),
    );
    for (const id of ids) {
      const job = await queue.getJob(id);
      // A running job holds a lock, and stays.
      if (job !== undefined)
        removed += await job.remove().then(
          () => 1,
          () => 0,
        );
    }
  }
  return removed;
}

async function removeMention({ redis, key, type, members, job }: Mention): Promise<number> {
  if (job) return 0;
  if (members === undefined) return redis.unlink(key);
  if (type === "hash") return redis.hdel(key, ...members);
  if (type === "zset") return redis.zrem(key, ...members);
  if (type === "set") return redis.srem(key, ...members);
  if (type === "stream") return redis.xdel(key, ...members);
  const removed = await Promise.all(members.map((member) => redis.lrem(key, 0, member)));
  return removed.reduce((sum, count) => sum + count, 0);
}
