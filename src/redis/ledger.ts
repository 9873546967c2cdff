import type { Redis } from "ioredis";
import type { Keys } from "./keys.ts";
import { noteReadableLua, readableKeys } from "./readable-times.ts";
import { defineScript } from "./script.ts";

/**
 * The ledger: who has an acknowledged event that no committed refresh reflects yet. The queue is a hint, this is the
 * truth: whoever stands here without a job is enqueued again.
 *
 * Acknowledgements and refreshes draw from one counter, so that "was the event acknowledged before the refresh began?"
 * is a comparison of two numbers.
 */
export interface Ledger {
  /**
   * Takes a ticket, and tells whether the member's deletion was acknowledged. To be called before anything is fetched.
   * `events` were acknowledged since the member entered the ledger: what the refresh will reflect.
   */
  begin(member: string): Promise<{ ticket: number; events: number; deleted: boolean; written: Written }>;
  /**
   * Notes property values that Kinde has taken from us, so that for a while no refresh believes an older answer of
   * Kinde's. To be called after the write, and before the refresh that makes it visible.
   */
  noteWrite(member: string, properties: Written, forMs: number): Promise<void>;
  /**
   * Strikes the member out, unless an event was acknowledged after the ticket was taken. To be called after the commit.
   * For users it counts how long the events that are reflected now took to be readable.
   *
   * @param events as `begin` told; left out by whoever did not begin: events before the ticket are then counted when
   *   the member is struck out
   */
  settle(member: string, ticket: number, events?: number): Promise<"settled" | "pending">;
  /**
   * Notes that the member's job gave up. The member stands in the ledger, even if no event put it there, until a
   * refresh settles it or an operator discards it.
   */
  fail(member: string, failure: Failure): Promise<void>;
  failures(): Promise<{ member: string; failure: Failure }[]>;
  /** Strikes the member out whatever happened. */
  discard(member: string): Promise<boolean>;
  /** A ticket of now, for a fetch that concerns nobody in particular. */
  draw(): Promise<number>;
  /** Of which members a deletion was acknowledged, outstanding or lately reflected. */
  deleted(members: readonly string[]): Promise<Set<string>>;
  /** How many of these members stand there because their job gave up. */
  gaveUp(members: readonly string[]): Promise<number>;
  /** Number of the member's latest outstanding event, which is also its time in microseconds; 0 without one. */
  latest(member: string): Promise<number>;
  /** Where one member stands; `undefined` when nothing is outstanding. */
  entry(member: string): Promise<LedgerEntry | undefined>;
  /** Members in order of age, oldest first, from a place and up to an age. */
  page(options: { from?: LedgerPlace; olderThanMs: number; limit: number }): Promise<LedgerPage>;
  /** How far behind we are. */
  size(): Promise<{ size: number; oldestAgeMs: number; failed: number }>;
}

/** Property values just written to Kinde, by key; `null` where one was removed. */
export type Written = Readonly<Record<string, string | null>>;

/** Why a job gave up: codes and words of ours only. */
export interface Failure {
  code: string;
  message: string;
  /** Milliseconds since the epoch. */
  failedAt: number;
  attempts: number;
  /** No retry helps before somebody has mended something. */
  final: boolean;
}

/** A member with an outstanding event. */
export interface LedgerEntry {
  member: string;
  /** Position: the number of its first event not reflected yet, which is also its time in microseconds. */
  since: number;
  ageMs: number;
  /** Number of its latest event, likewise; 0 without one. */
  latest: number;
  failure: Failure | undefined;
}

/** Members, and where the next ones begin; no `next` after the last. */
export interface LedgerPage {
  entries: LedgerEntry[];
  next: LedgerPlace | undefined;
}

/** A position, and how many members at it are done: all users of a fan-out stand at the same. */
export interface LedgerPlace {
  since: number;
  skip: number;
}

/** Keys of one ledger. `users` stand in the public `<prefix>:ledger`, fan-outs beside it. */
export function ledgerKeys(keys: Keys, name: "users" | "fanouts") {
  return name === "users"
    ? { since: keys.ledger, latest: keys.ledgerPart("latest"), failures: keys.ledgerPart("failures") }
    : {
        since: keys.ledgerPart("fanouts"),
        latest: keys.ledgerPart("fanouts:latest"),
        failures: keys.ledgerPart("fanouts:failures"),
      };
}

/**
 * Lua that draws the next number, or so many in a row and answers the first: past the last one, and past the clock in
 * microseconds, so that numbers go on growing when Redis has lost its last writes.
 */
export const drawTicketLua = `
local function draw(key, count)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local ticket = math.max(tonumber(redis.call('GET', key) or '0') + 1, now)
  redis.call('SET', key, string.format('%.0f', ticket + (count or 1) - 1))
  return ticket, now
end
`;

/**
 * Lua that reads and writes the note on a member's latest event: `d` for an acknowledged deletion, the event's number, how
 * many events came since the member entered the ledger, and how many of them are reflected by now. The plain number of the
 * usual single event stands for `:1:0`.
 */
export const latestLua = `
local function readLatest(text)
  if not text then return '', 0, 0, 0 end
  local mark, number, events, reflected = string.match(text, '^(d?)(%d+):?(%d*):?(%d*)$')
  return mark, tonumber(number), tonumber(events) or 1, tonumber(reflected) or 0
end
local function writeLatest(mark, number, events, reflected)
  local text = mark .. string.format('%.0f', number)
  if events == 1 and reflected == 0 then return text end
  return text .. string.format(':%d:%d', events, reflected)
end
`;

const drawScript = defineScript(`${drawTicketLua}
return draw(KEYS[1])
`);

const deletedScript = defineScript(`
local deleted = {}
for i, note in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV))) do
  if (note and string.sub(note, 1, 1) == 'd') or redis.call('EXISTS', KEYS[i + 1]) == 1 then
    deleted[#deleted + 1] = ARGV[i]
  end
end
return deleted
`);

const beginScript = defineScript(`${drawTicketLua}${latestLua}
local ticket = draw(KEYS[1])
local mark, _, events = readLatest(redis.call('HGET', KEYS[2], ARGV[1]))
local deleted = mark == 'd' or redis.call('EXISTS', KEYS[4]) == 1
return { ticket, deleted and 1 or 0, events, redis.call('GET', KEYS[3]) }
`);

// Merged key by key, so that two writes of different properties do not forget each other.
const noteWriteScript = defineScript(`
local text = redis.call('GET', KEYS[1])
local written = text and cjson.decode(text) or {}
for i = 2, #ARGV, 2 do written[ARGV[i]] = ARGV[i + 1] end
redis.call('SET', KEYS[1], cjson.encode(written), 'PX', ARGV[1])
return 1
`);

// How many events are reflected is told exactly, even where refreshes overlap; how long they took, from the oldest: a bound
// from above for those that joined it. Where nobody says how many a refresh knew of, the oldest keeps its place.
const settleScript = defineScript(`${latestLua}${noteReadableLua}
local since = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
local mark, number, events, reflected = readLatest(redis.call('HGET', KEYS[2], ARGV[1]))
local ticket = tonumber(ARGV[2])
if number > ticket then
  local known = tonumber(ARGV[3])
  if (known or not KEYS[5]) and since and since < ticket then
    if KEYS[5] then noteReadable(KEYS[5], KEYS[6], since, known - reflected) end
    reflected = math.max(reflected, known or 0)
    redis.call('HSET', KEYS[2], ARGV[1], writeLatest(mark, number, events, reflected))
    -- Everything before the ticket is reflected: the oldest outstanding event is younger than it.
    redis.call('ZADD', KEYS[1], 'XX', 'GT', ARGV[2], ARGV[1])
  end
  return 0
end
if mark == 'd' then redis.call('SET', KEYS[4], '1', 'PX', ARGV[4]) end
if KEYS[5] and since then noteReadable(KEYS[5], KEYS[6], since, events - reflected) end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
`);

/**
 * For so long after Kinde told of a deletion, in milliseconds, its API is not asked about the user: a copy of Kinde's
 * that lags could still have them.
 */
const deletedForMs = 120_000;

const failScript = defineScript(`${drawTicketLua}
redis.call('ZADD', KEYS[1], 'NX', draw(KEYS[3]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
`);

// A note begins with the event's number, or with a mark before it.
function numberOf(note: string | null | undefined): number {
  return Number(/\d+/.exec(note ?? "")?.[0] ?? 0);
}

// Each value is JSON in JSON: Lua's tables cannot hold a null.
function decodeWritten(text: string): Written {
  const values = Object.entries(JSON.parse(text) as Record<string, string>);
  return Object.fromEntries(values.map(([key, value]) => [key, JSON.parse(value) as string | null]));
}

/** One of the two ledgers, over one connection. */
export function createLedger(redis: Redis, keys: Keys, name: "users" | "fanouts", now: () => number): Ledger {
  const { since, latest, failures } = ledgerKeys(keys, name);

  const writtenKey = (member: string) => keys.ledgerPart(`written:${member}`);
  const deletedKey = (member: string) => keys.ledgerPart(`deleted:${member}`);
  const begin = (member: string) =>
    beginScript(redis, [keys.ledgerPart("ticket"), latest, writtenKey(member), deletedKey(member)], [member]);
  const settle = (member: string, ticket: number, events: number | "", measured: string[]) =>
    settleScript(
      redis,
      [since, latest, failures, deletedKey(member), ...measured],
      [member, ticket, events, deletedForMs],
    );

  const entries = async (scored: string[]): Promise<LedgerEntry[]> => {
    const members = scored.filter((_, index) => index % 2 === 0);
    if (members.length === 0) return [];
    const [notes, latestNotes] = await Promise.all([
      redis.hmget(failures, ...members),
      redis.hmget(latest, ...members),
    ]);
    return members.map((member, index) => {
      const position = Number(scored[index * 2 + 1]);
      const note = notes[index];
      return {
        member,
        since: position,
        ageMs: now() - position / 1000,
        latest: numberOf(latestNotes[index]),
        failure: note ? (JSON.parse(note) as Failure) : undefined,
      };
    });
  };

  return {
    async begin(member) {
      const [ticket, deleted, events, written] = (await begin(member)) as [number, number, number, string | null];
      return { ticket, events, deleted: deleted === 1, written: written === null ? {} : decodeWritten(written) };
    },
    async noteWrite(member, properties, forMs) {
      const values = Object.entries(properties).flatMap(([key, value]) => [key, JSON.stringify(value)]);
      await noteWriteScript(redis, [writtenKey(member)], [forMs, ...values]);
    },
    async settle(member, ticket, events) {
      const measured = name === "users" ? readableKeys(keys, now()) : [];
      return (await settle(member, ticket, events ?? "", measured)) === 1 ? "settled" : "pending";
    },
    async fail(member, failure) {
      await failScript(redis, [since, failures, keys.ledgerPart("ticket")], [member, JSON.stringify(failure)]);
    },
    async failures() {
      const notes = await redis.hgetall(failures);
      return Object.entries(notes)
        .map(([member, note]) => ({ member, failure: JSON.parse(note) as Failure }))
        .sort((a, b) => b.failure.failedAt - a.failure.failedAt);
    },
    async discard(member) {
      // By a ticket of now: an event that comes while an operator decides is none of what is discarded.
      const [had, ticket] = await Promise.all([redis.zscore(since, member), begin(member)]);
      // What nobody will read is not counted as readable.
      await settle(member, (ticket as [number])[0], "", []);
      return had !== null;
    },
    async draw() {
      return Number(await drawScript(redis, [keys.ledgerPart("ticket")], []));
    },
    async deleted(members) {
      if (members.length === 0) return new Set();
      return new Set((await deletedScript(redis, [latest, ...members.map(deletedKey)], members)) as string[]);
    },
    async gaveUp(members) {
      if (members.length === 0) return 0;
      return (await redis.hmget(failures, ...members)).filter((note) => note !== null).length;
    },
    async latest(member) {
      return numberOf(await redis.hget(latest, member));
    },
    async entry(member) {
      const score = await redis.zscore(since, member);
      return score === null ? undefined : (await entries([member, score]))[0];
    },
    async page({ from = { since: 0, skip: 0 }, olderThanMs, limit }) {
      const youngest = (now() - olderThanMs) * 1000;
      const found = await entries(
        await redis.zrangebyscore(since, from.since, youngest, "WITHSCORES", "LIMIT", from.skip, limit),
      );
      const last = found.at(-1);
      if (last === undefined || found.length < limit) return { entries: found, next: undefined };
      const sharing = found.filter((entry) => entry.since === last.since).length;
      const skip = last.since === from.since ? from.skip + sharing : sharing;
      return { entries: found, next: { since: last.since, skip } };
    },
    async size() {
      const [size, oldest, failed] = await Promise.all([
        redis.zcard(since),
        redis.zrange(since, 0, 0, "WITHSCORES"),
        redis.hlen(failures),
      ]);
      return { size, oldestAgeMs: oldest[1] === undefined ? 0 : Math.max(0, now() - Number(oldest[1]) / 1000), failed };
    },
  };
}
