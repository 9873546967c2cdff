import { accountTime, type FlagsRecord, type Profile, parseFlagsRecord } from "kindling/contract";
import { z } from "zod";
import { RedisError } from "../errors.ts";
import { areApart, isAtStart, type RedisClient, readAll, readRunId, scanKeys } from "./client.ts";
import type { Keys } from "./keys.ts";
import { raiseTicket } from "./ledger-scripts.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import { booleanAnswer, defineScript } from "./script.ts";

/** A user's record in Redis. A member is `undefined` if it is missing or unreadable. */
export interface StoredRecord {
  flags: FlagsRecord | undefined;
  profile: Profile | undefined;
}

/** The records of all users. */
export interface Records {
  /**
   * Writes a user's record. Answers `superseded` if a later ticket has already written it, and `crossed` if the user must be
   * fetched again, with a new ticket: another commit came between this one and the record it builds on, or a later commit
   * kept parts that are older than this one's.
   *
   * @param basis Ticket of the stored record that parts were kept from; absent if all were fetched
   * @throws {RedisError} `redis_unavailable` if Redis lost draws of tickets, this one or that of the stored record: the
   *   refresh must begin again
   */
  commit(record: FlagsRecord, profile: Profile, basis?: number): Promise<"committed" | "superseded" | "crossed">;
  /**
   * Writes the records of users who have none. Existing records and tombstones stay, whatever their ticket: for
   * profiles from a source that can be out of date.
   *
   * @returns how many records were written
   */
  commitMissing(entries: readonly { record: FlagsRecord; profile: Profile }[]): Promise<number>;
  /**
   * Writes flags that were derived again from a record's own profile. Keeps the record's ticket and `fetchedAt`, and any
   * record that was written in the meantime.
   *
   * @param entries `record` is the stored one, as it was read together with the profile
   * @returns how many records were written
   */
  replaceFlags(entries: readonly FlagsReplacement[]): Promise<number>;
  /**
   * Writes records and tombstones of another store for users who have none here. They get the lowest ticket, because
   * tickets of two stores do not compare: any refresh replaces them.
   *
   * @returns how many were written
   */
  restore(
    entries: readonly ({ userId: string; flags: FlagsRecord } & Pick<StoredRecord, "profile">)[],
  ): Promise<number>;
  /** Replaces the record with a tombstone and removes the profile. Answers `superseded` like {@link Records.commit}. */
  bury(userId: string, record: FlagsRecord): Promise<"committed" | "superseded">;
  read(userId: string): Promise<StoredRecord>;
  /** Reads many records, in the order of the ids. */
  readMany(userIds: readonly string[]): Promise<StoredRecord[]>;
  /** Returns the ticket of each user's record, 0 for a user without one. */
  tickets(userIds: readonly string[]): Promise<number[]>;
  /**
   * Returns ticket and times of each user's record, all 0 for a user without one. `accountAt` is when the ticket was drawn,
   * later than `fetchedAt` if the record kept parts of an earlier one.
   */
  stamps(userIds: readonly string[]): Promise<{ ticket: number; fetchedAt: number; accountAt: number }[]>;
  /**
   * Takes one step of a scan over all profiles, in no particular order. A profile can appear more than once. The scan
   * is complete when `cursor` is `"0"` again. A page has about half of `count` profiles to all of it, and fewer if Redis has
   * hundreds of other keys for each of them.
   *
   * A cursor means nothing to another Redis process, which would skip users: if Redis restarted or failed over since, the
   * scan begins again. Source: https://redis.io/docs/latest/commands/scan/
   */
  scan(place: ScanPlace, count: number): Promise<ScannedPage & { profiles: Profile[] }>;
  /** Moves changes to the stream of changes that processes left behind when they died. Returns how many users they had. */
  relayLeftChanges(): Promise<number>;
  /** Scans like {@link Records.scan}, but returns only the ids of users who have a profile. */
  scanIds(place: ScanPlace, count: number): Promise<ScannedPage & { userIds: string[] }>;
}

/** Where a scan continues. */
export interface ScanPlace {
  cursor: string;
  /** The Redis process that the cursor belongs to. */
  runId?: string | undefined;
}

/** One page of a scan, and where the next one begins. */
export interface ScannedPage {
  /** `"0"` after the last page. */
  cursor: string;
  runId: string;
  /** Whether this is the first page once more, because another Redis process took over. */
  beganAgain: boolean;
}

/** Where a scan begins, and, as a cursor, where it ends. */
export const scanStart: ScanPlace = { cursor: "0" };

/** Flags derived again from the profile of a stored record. */
export interface FlagsReplacement {
  userId: string;
  record: FlagsRecord;
  flags: FlagsRecord["flags"];
  organizations?: FlagsRecord["organizations"];
  schema: string;
}

/** Options for {@link createRecords}. */
export interface RecordsOptions {
  redis: RedisClient;
  /** Where the ticket counter is. Default: beside the records. */
  internal?: RedisClient;
  keys: Keys;
  /** Lifetime of a tombstone, in milliseconds. Must exceed the longest refresh. */
  tombstoneTtlMs: number;
  /** How many changes of flags the stream of changes keeps. Default 0: none are written. */
  changesKept?: number;
}

interface CommitInput {
  flagsKey: string;
  profileKey: string;
  /** `undefined` if the counter is on another primary. */
  counterKey: string | undefined;
  record: FlagsRecord;
  /** `undefined` for a tombstone. */
  profile: Profile | undefined;
  tombstoneTtlMs: number;
  channel: string;
  userId: string;
  changesKey: string;
  changesKept: number;
  /** Keeps any stored record, whatever its ticket. */
  onlyIfMissing: boolean;
  basis: number | undefined;
}

const commitRecord = defineScript("commit-record", {
  call: (input: CommitInput) => ({
    keys: [
      input.flagsKey,
      input.profileKey,
      input.changesKey,
      ...(input.counterKey === undefined ? [] : [input.counterKey]),
    ],
    args: [
      input.record.ticket,
      JSON.stringify(input.record),
      input.profile === undefined ? "" : JSON.stringify(input.profile),
      input.tombstoneTtlMs,
      input.channel,
      input.onlyIfMissing ? "missing" : "",
      input.changesKept,
      input.userId,
      input.basis ?? "",
    ],
  }),
  answer: z.int(),
});

const replaceFlags = defineScript("replace-flags", {
  call: (
    input: Omit<CommitInput, "profileKey" | "counterKey" | "profile" | "tombstoneTtlMs" | "onlyIfMissing" | "basis">,
  ) => ({
    keys: [input.flagsKey, input.changesKey],
    args: [input.record.ticket, JSON.stringify(input.record), input.channel, input.changesKept, input.userId],
  }),
  answer: booleanAnswer,
});

const lowestTicket = 1;

/** Keys that a page's later `SCAN`s look at, at most: less than two milliseconds of Redis' time. */
const mostPerScan = 2_000;
/** `SCAN`s per page: it takes less than half a second. */
const mostScans = 100;

/** Creates the records. */
export function createRecords(options: RecordsOptions): Records {
  const { redis, internal = redis, keys, tombstoneTtlMs, changesKept = 0 } = options;
  const apart = areApart(redis, internal);
  const outbox = apart && changesKept > 0 ? createOutbox({ redis, internal, keys, changesKept }) : undefined;
  const changesKey = (userId: string) => (apart ? keys.outbox(userId) : keys.changes);
  const noting: Outbox["around"] = outbox?.around ?? ((_userIds, write) => write());
  const commitInput = (
    userId: string,
    record: FlagsRecord,
    profile: Profile | undefined,
    { onlyIfMissing = false, basis }: Partial<Pick<CommitInput, "onlyIfMissing" | "basis">> = {},
  ): CommitInput => ({
    flagsKey: keys.flags(userId),
    profileKey: keys.profile(userId),
    counterKey: apart ? undefined : keys.ticket.counter,
    record,
    profile,
    tombstoneTtlMs,
    channel: keys.commits(userId),
    userId,
    changesKey: changesKey(userId),
    changesKept,
    onlyIfMissing,
    basis,
  });
  const scanPage = async (place: ScanPlace, count: number): Promise<ScannedPage & { profileKeys: string[] }> => {
    const profileKeys: string[] = [];
    let { cursor, runId } = place;
    for (let [scans, looked] = [1, 0]; ; scans += 1) {
      // As many keys as all before: a page that is less than half full gets full at most, if the keys are spread evenly.
      const step = looked === 0 ? count : Math.min(looked, 4 * count, mostPerScan);
      // In one pipeline, so that both are answered by the same process.
      const [current, [next, found]] = await Promise.all([
        readRunId(redis),
        scanKeys(redis, cursor, { match: keys.profiles, count: step }),
      ]);
      const isLost = cursor !== scanStart.cursor && current !== runId;
      if (isLost) return { ...(await scanPage(scanStart, count)), beganAgain: true };
      profileKeys.push(...found);
      [cursor, runId, looked] = [next, current, looked + step];
      // The next master of a cluster can have many more profiles among its keys.
      const isOver = profileKeys.length >= count / 2 || isAtStart(cursor) || scans === mostScans;
      if (isOver) return { cursor, runId, beganAgain: false, profileKeys };
    }
  };
  // What the script cannot check where the counter is on another primary.
  const isReached = async (ticket: number) => Number((await internal.get(keys.ticket.counter)) ?? 0) >= ticket;
  const write = async (userId: string, record: FlagsRecord, profile?: Profile, basis?: number) => {
    if (apart && !(await isReached(record.ticket))) throw ticketLost();
    const answer = await noting([userId], () => commitRecord(redis, commitInput(userId, record, profile, { basis })));
    if (answer === 1) return "committed";
    if (answer === -2) return "crossed";
    const stored = Math.abs(answer);
    if (answer === -1 || (await raiseTicket(internal, { ticket: keys.ticket, stored }))) throw ticketLost();
    return answer < 0 ? "crossed" : "superseded";
  };

  const writeMissing = async (inputs: readonly CommitInput[]) => {
    const userIds = inputs.map(({ userId }) => userId);
    const written = await noting(userIds, () => commitRecord.many(redis, inputs));
    return written.filter((answer) => answer === 1).length;
  };

  const readMany = async (userIds: readonly string[]): Promise<StoredRecord[]> => {
    const names = userIds.flatMap((userId) => [keys.flags(userId), keys.profile(userId)]);
    const texts = await readAll(redis, names);
    return userIds.map((_, index) => {
      const flags = texts[index * 2];
      return { flags: flags ? parseFlagsRecord(flags) : undefined, profile: parseProfile(texts[index * 2 + 1]) };
    });
  };

  const stamps = async (userIds: readonly string[]) => {
    const texts = await readAll(redis, userIds.map(keys.flags));
    return texts.map((text) => {
      const record = text ? parseFlagsRecord(text) : undefined;
      if (record === undefined) return { ticket: 0, fetchedAt: 0, accountAt: 0 };
      return { ticket: record.ticket, fetchedAt: record.fetchedAt, accountAt: accountTime(record) };
    });
  };

  return {
    commit: (record, profile, basis) => write(profile.id, record, profile, basis),
    async commitMissing(entries) {
      const given = { onlyIfMissing: true };
      return writeMissing(entries.map(({ record, profile }) => commitInput(profile.id, record, profile, given)));
    },
    async replaceFlags(entries) {
      const inputs = entries.map(({ userId, record, flags, organizations, schema }) => ({
        flagsKey: keys.flags(userId),
        channel: keys.commits(userId),
        userId,
        changesKey: changesKey(userId),
        changesKept,
        // Members that a newer release added to the record stay.
        record: { ...record, flags, organizations, schema },
      }));
      const userIds = inputs.map(({ userId }) => userId);
      return (await noting(userIds, () => replaceFlags.many(redis, inputs))).filter(Boolean).length;
    },
    async restore(entries) {
      const given = { onlyIfMissing: true };
      return writeMissing(
        entries.map(({ userId, flags, profile }) =>
          commitInput(userId, { ...flags, ticket: lowestTicket }, profile, given),
        ),
      );
    },
    async bury(userId, record) {
      // Only a commit of a present user can be crossed.
      return (await write(userId, record)) === "committed" ? "committed" : "superseded";
    },

    async read(userId) {
      const [record] = await readMany([userId]);
      return record ?? { flags: undefined, profile: undefined };
    },

    readMany,

    stamps,

    async tickets(userIds) {
      return (await stamps(userIds)).map(({ ticket }) => ticket);
    },

    async scan(place, count) {
      const { profileKeys, ...page } = await scanPage(place, count);
      const texts = await readAll(redis, profileKeys);
      return { ...page, profiles: texts.flatMap((text) => parseProfile(text) ?? []) };
    },

    relayLeftChanges: async () => outbox?.relayLeft() ?? 0,

    async scanIds(place, count) {
      const { profileKeys, ...page } = await scanPage(place, count);
      return { ...page, userIds: profileKeys.map(keys.userOf) };
    },
  };
}

function ticketLost(): RedisError {
  return new RedisError("redis_unavailable", "Redis lost its last writes: fetch again, with a new ticket.");
}

/** Parses a stored profile; returns `undefined` if it is not one. */
export function parseProfile(text: string | null | undefined): Profile | undefined {
  if (!text) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isProfile(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

// By hand, as a sweep parses every profile: every member, because flag functions and comparisons rely on their types. A
// profile that does not fit, such as one of another release, counts as missing, and the next sweep refreshes its user.
function isProfile(value: unknown): value is Profile {
  return (
    isObject(value) &&
    typeof value.id === "string" &&
    typeof value.isSuspended === "boolean" &&
    isText(value.providedId) &&
    isText(value.email) &&
    isText(value.phone) &&
    isText(value.username) &&
    isText(value.firstName) &&
    isText(value.lastName) &&
    isText(value.picture) &&
    isText(value.lastSignedIn) &&
    isText(value.createdOn) &&
    isCount(value.totalSignIns) &&
    isCount(value.failedSignIns) &&
    (value.parts === undefined || typeof value.parts === "number") &&
    isProperties(value.properties) &&
    isListOf(value.organizations, isMembership) &&
    isListOf(value.identities, isIdentity) &&
    isObject(value.billing) &&
    isText(value.billing.customerId) &&
    isListOf(value.billing.agreements, isAgreement)
  );
}

function isMembership(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.code === "string" &&
    isListOf(value.roles, isGrant) &&
    isListOf(value.permissions, isGrant)
  );
}

function isGrant(value: unknown): boolean {
  return isObject(value) && typeof value.id === "string" && typeof value.key === "string";
}

function isIdentity(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.type === "string" &&
    (value.identity === undefined || typeof value.identity === "string")
  );
}

function isAgreement(value: unknown): boolean {
  return isObject(value) && typeof value.id === "string" && typeof value.planCode === "string";
}

function isProperties(value: unknown): boolean {
  if (!isObject(value)) return false;
  for (const key in value) if (!isText(value[key])) return false;
  return true;
}

function isListOf(value: unknown, isEntry: (entry: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isEntry);
}

function isText(value: unknown): boolean {
  return value === null || typeof value === "string";
}

function isCount(value: unknown): boolean {
  return value === null || typeof value === "number";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
