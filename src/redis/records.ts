import type { Redis } from "ioredis";
import { type FlagsRecord, type Profile, parseFlagsRecord } from "kindling/contract";
import type { Keys } from "./keys.ts";
import { defineScript } from "./script.ts";

/** One user's record as it stands in Redis; `undefined` where there is none, or none that can be read. */
export interface StoredRecord {
  flags: FlagsRecord | undefined;
  profile: Profile | undefined;
}

/** The records of all users. */
export interface Records {
  /** Writes a user's record whole, unless a later ticket wrote it already: then answers `superseded`. */
  commit(record: FlagsRecord, profile: Profile): Promise<"committed" | "superseded">;
  /**
   * Writes the records of many, of those who have none: whatever stands there, a tombstone too, stays. For what was
   * fetched from where answers may be old.
   *
   * @returns how many were written
   */
  commitMissing(entries: readonly { record: FlagsRecord; profile: Profile }[]): Promise<number>;
  /** Puts a tombstone in place of the record and removes the profile; same rule. Kept for the tombstone's lifetime. */
  bury(userId: string, record: FlagsRecord): Promise<"committed" | "superseded">;
  read(userId: string): Promise<StoredRecord>;
  /** Many at once, in the order asked. */
  readMany(userIds: readonly string[]): Promise<StoredRecord[]>;
  /** Ticket of each user's record, 0 where there is none. */
  tickets(userIds: readonly string[]): Promise<number[]>;
  /** One step of a walk over all profiles, in no order, some perhaps twice. Ends when `cursor` is `"0"` again. */
  scan(cursor: string, count: number): Promise<{ cursor: string; profiles: Profile[] }>;
  /** The same walk, for the ids alone of users who have a profile. */
  scanIds(cursor: string, count: number): Promise<{ cursor: string; userIds: string[] }>;
}

/** Settings of the records. */
export interface RecordsOptions {
  redis: Redis;
  keys: Keys;
  /** How long a tombstone stays, in milliseconds: longer than any refresh can be under way. */
  tombstoneTtlMs: number;
}

// A record that cannot be decoded has no ticket and is overwritten: that is its repair.
const commitScript = defineScript(`
local current = redis.call('GET', KEYS[1])
if current then
  local readable, record = pcall(cjson.decode, current)
  if readable and type(record) == 'table' and type(record.ticket) == 'number' then
    if ARGV[6] == 'missing' or record.ticket > tonumber(ARGV[1]) then return 0 end
  end
end
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[1], ARGV[2])
  redis.call('SET', KEYS[2], ARGV[3])
end
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1
`);

/** The records, over one connection. */
export function createRecords({ redis, keys, tombstoneTtlMs }: RecordsOptions): Records {
  const writing = (userId: string, record: FlagsRecord, profile: string, only: "missing" | "" = "") => ({
    keys: [keys.flags(userId), keys.profile(userId)],
    args: [record.ticket, JSON.stringify(record), profile, tombstoneTtlMs, keys.commits(userId), only],
  });
  const write = async (userId: string, record: FlagsRecord, profile: string) => {
    const run = writing(userId, record, profile);
    return (await commitScript(redis, run.keys, run.args)) === 1 ? "committed" : "superseded";
  };
  const readMany = async (userIds: readonly string[]): Promise<StoredRecord[]> => {
    if (userIds.length === 0) return [];
    const texts = await redis.mget(userIds.flatMap((userId) => [keys.flags(userId), keys.profile(userId)]));
    return userIds.map((_, index) => {
      const flags = texts[index * 2];
      return { flags: flags ? parseFlagsRecord(flags) : undefined, profile: parseProfile(texts[index * 2 + 1]) };
    });
  };
  return {
    commit: (record, profile) => write(profile.id, record, JSON.stringify(profile)),
    async commitMissing(entries) {
      const runs = entries.map(({ record, profile }) =>
        writing(profile.id, record, JSON.stringify(profile), "missing"),
      );
      return (await commitScript.many(redis, runs)).filter((answer) => answer === 1).length;
    },
    bury: (userId, record) => write(userId, record, ""),

    async read(userId) {
      const [record] = await readMany([userId]);
      return record ?? { flags: undefined, profile: undefined };
    },

    readMany,

    async tickets(userIds) {
      if (userIds.length === 0) return [];
      const texts = await redis.mget(userIds.map(keys.flags));
      return texts.map((text) => (text ? (parseFlagsRecord(text)?.ticket ?? 0) : 0));
    },

    async scan(cursor, count) {
      const [next, found] = await redis.scan(cursor, "MATCH", keys.profiles, "COUNT", count);
      const texts = found.length > 0 ? await redis.mget(found) : [];
      return { cursor: next, profiles: texts.flatMap((text) => parseProfile(text) ?? []) };
    },

    async scanIds(cursor, count) {
      const [next, found] = await redis.scan(cursor, "MATCH", keys.profiles, "COUNT", count);
      return { cursor: next, userIds: found.map(keys.userOf) };
    },
  };
}

function parseProfile(text: string | null | undefined): Profile | undefined {
  if (!text) return undefined;
  try {
    const value = JSON.parse(text) as Profile | null;
    return typeof value?.id === "string" && Array.isArray(value.organizations) ? value : undefined;
  } catch {
    return undefined;
  }
}
