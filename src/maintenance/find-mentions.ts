import { type RedisClient, scanKeys } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";

/** A key that mentions a user. */
export interface Mention {
  /** Where the key is. */
  redis: RedisClient;
  key: string;
  type: string;
  /** The members, fields or entries that do; absent if the whole key is about the user. */
  members?: string[];
  /** Whether the key is a job of a queue, which only its queue may change. */
  job: boolean;
}

/** Keys fetched per step. */
const step = 1_000;

/**
 * Searches every key under the prefix for a user id, in names and in contents. Of records, only names are searched: a
 * record names no other user.
 */
export async function findMentions(
  clients: readonly RedisClient[],
  keys: Keys,
  userId: string,
): Promise<{ searched: number; mentions: Mention[] }> {
  // Ids have only letters and digits after kp_, and one can be the beginning of another.
  const pattern = new RegExp(`(?<![A-Za-z0-9_])${userId}(?![A-Za-z0-9])`);
  const about = (text: string) => pattern.test(text);
  const own = [keys.flags(userId), keys.profile(userId)];
  const mentions = new Map<string, Mention>();
  const searched = new Set<string>();
  let records = 0;
  const isRecord = (name: string) => keys.flagsOwner(name) !== undefined || name.startsWith(`${keys.prefix}:profile:{`);
  for (const redis of clients) {
    let cursor = "0";
    do {
      const [next, names] = await scanKeys(redis, cursor, { count: step });
      cursor = next;
      const ours = names.filter((name) => isOurs(name, keys.prefix));
      records += ours.filter(isRecord).length;
      for (const name of ours) {
        if (isRecord(name) ? !own.includes(name) : searched.has(name)) continue;
        if (!isRecord(name)) searched.add(name);
        const mention = await mentionIn(redis, keys, name, about);
        if (mention !== undefined) mentions.set(name, { redis, ...mention });
      }
    } while (cursor !== "0");
  }
  return { searched: searched.size + records, mentions: [...mentions.values()] };
}

function isOurs(name: string, prefix: string): boolean {
  return [`${prefix}:`, `{${prefix}}`, `{${prefix}:`].some((start) => name.startsWith(start));
}

async function mentionIn(
  redis: RedisClient,
  keys: Keys,
  key: string,
  about: (text: string) => boolean,
): Promise<Omit<Mention, "redis"> | undefined> {
  const type = await redis.type(key);
  const job = type === "hash" && key.startsWith(`${keys.queues}:`);
  if (about(key)) return { key, type, job };
  const some = (members: string[]): Omit<Mention, "redis"> | undefined =>
    members.length === 0 ? undefined : { key, type, members: [...new Set(members)], job };
  if (type === "string") return about((await redis.get(key)) ?? "") ? { key, type, job } : undefined;
  if (type === "hash") {
    const fields: string[] = [];
    for await (const page of redis.hscanStream(key, { count: step })) {
      const pairs = page as string[];
      for (let at = 0; at < pairs.length; at += 2) {
        if (about(pairs[at] ?? "") || about(pairs[at + 1] ?? "")) fields.push(pairs[at] ?? "");
      }
    }
    return some(fields);
  }
  if (type === "zset") {
    const members: string[] = [];
    for await (const page of redis.zscanStream(key, { count: step })) {
      members.push(...(page as string[]).filter((member, index) => index % 2 === 0 && about(member)));
    }
    return some(members);
  }
  if (type === "set") {
    const members: string[] = [];
    for await (const page of redis.sscanStream(key, { count: step })) members.push(...(page as string[]).filter(about));
    return some(members);
  }
  if (type === "stream") {
    const entries = await redis.xrange(key, "-", "+");
    return some(entries.filter(([, fields]) => fields.some(about)).map(([id]) => id));
  }
  if (type === "list") return some((await redis.lrange(key, 0, -1)).filter(about));
  return undefined;
}
