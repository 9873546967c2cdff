import { randomUUID } from "node:crypto";
import { z } from "zod";
import { absencesKey } from "./absences.ts";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import {
  beginRefresh,
  type Concern,
  drawTicket,
  findDeleted,
  noteFailure,
  noteIntent,
  noteWrite,
  readClock,
  readMembers,
  type SettleInput,
  settleMember,
  takeConfirmations,
  withdrawIntent,
} from "./ledger-scripts.ts";
import { releaseLock } from "./lock.ts";
import { readableHistogram } from "./readable-times.ts";
import { storedShape } from "./stored.ts";

/**
 * The ledger: members (users or fan-outs) with an acknowledged event that no committed refresh reflects yet. The queue
 * is a hint, the ledger is the truth: a member without a job is enqueued again.
 *
 * Events and refreshes draw tickets from one counter, so comparing two tickets tells whether an event was acknowledged
 * before a refresh began.
 */
export interface Ledger {
  /**
   * Draws a ticket for a refresh. Must be called before anything is fetched.
   *
   * @param whole Makes refreshes that begin later fetch everything, until one that began no earlier than this has settled
   */
  begin(member: string, options?: { whole: boolean }): Promise<Begun>;
  /**
   * Adds the member before something is changed that causes no event, so that a refresh follows even if this process
   * dies in between. A member has one intent at a time: answers `undefined` until the other one is released or expires.
   */
  intend(member: string): Promise<Intent | undefined>;
  /** Allows the next intent of the member. */
  release(member: string, intent: Intent): Promise<void>;
  /** Removes an intent whose change was not made. An earlier outstanding event or intent keeps the member. */
  withdraw(member: string, intent: Intent): Promise<void>;
  /**
   * Remembers property values that Kinde just accepted, so that no refresh trusts an older answer from Kinde meanwhile.
   * Must be called after the write, and before the intent is released and the refresh that makes it visible.
   */
  noteWrite(member: string, intent: Intent, properties: Written, forMs: number): Promise<void>;
  /**
   * Removes the member, unless an event was acknowledged after the ticket was drawn. Must be called after the commit.
   * For users, counts how long the reflected events took to become readable, and notes whether a confirming refresh must
   * follow.
   *
   * @param begun what else `begin` returned. Without it, events before the ticket are counted when the member is removed,
   *   and nothing counts as confirmed.
   */
  settle(member: string, ticket: number, begun?: Partial<Pick<Begun, "events" | "at">>): Promise<Settled>;
  /**
   * Takes members whose confirming refresh is due, so that nobody else takes them for `forMs`. They stay noted until a
   * refresh that began late enough has committed: if the one that was meant to is lost, they can be taken again.
   */
  takeUnconfirmed(options: { limit: number; forMs: number }): Promise<{
    members: string[];
    /** Milliseconds until the next one is due; `undefined` if none is noted. */
    nextInMs: number | undefined;
  }>;
  /** Gives members back that were taken. If they are noted again, they can be taken once they are due. */
  giveBack(members: readonly string[]): Promise<void>;
  /**
   * Removes the member like {@link Ledger.settle}, but counts nothing: its events cannot become readable, because Kinde
   * does not know the user.
   */
  dismiss(member: string, ticket: number): Promise<Settled>;
  /**
   * Stores why the member's job gave up. Adds the member to the ledger if no event did: it stays until a refresh
   * settles it or an operator discards it.
   */
  fail(member: string, failure: Failure): Promise<void>;
  /** Returns all failures, most recent first. */
  failures(): Promise<{ member: string; failure: Failure }[]>;
  /** Removes the member unconditionally. Returns whether it was in the ledger. */
  discard(member: string): Promise<boolean>;
  /** Returns Redis' clock, the one that all processes share, in milliseconds since the epoch. */
  clock(): Promise<number>;
  /** Returns the members whose deletion was acknowledged, whether outstanding or recently settled. */
  deleted(members: readonly string[]): Promise<Set<string>>;
  /** Counts the members whose job gave up. */
  gaveUp(members: readonly string[]): Promise<number>;
  /** Returns the ticket of the member's latest outstanding event, 0 without one. */
  latest(member: string): Promise<number>;
  /** Returns the member's entry, or `undefined` if nothing is outstanding. */
  entry(member: string): Promise<LedgerEntry | undefined>;
  /** Lists members of a minimum age by Redis' clock, oldest first. */
  page(options: PageOptions): Promise<LedgerPage>;
  /** Returns the backlog: the number of members, the age of the oldest and the number of failures. */
  size(): Promise<{ size: number; oldestAgeMs: number; failed: number }>;
}

/** What a refresh knows when it begins. */
export interface Begun {
  ticket: number;
  /** Redis' clock, in microseconds. */
  at: number;
  /** Events acknowledged since the member entered the ledger: those the refresh will reflect. */
  events: number;
  /** Whether the member's deletion was acknowledged. */
  deleted: boolean;
  written: Written;
  /** Whether an earlier refresh noted an absence. */
  absent: boolean;
  /** Whether the member is in the ledger. */
  outstanding: boolean;
  /**
   * What the outstanding events and a due confirmation concern together. Everything if an earlier refresh failed, or must not
   * be crossed.
   */
  concern: Concern;
  /** Whether a confirming refresh is due. */
  confirmDue: boolean;
}

/** The result of {@link Ledger.settle}. */
export interface Settled {
  /** Whether a later event is outstanding. */
  pending: boolean;
}

/** The announcement of a change, from {@link Ledger.intend}. */
export interface Intent {
  ticket: number;
  /** Whether nothing was outstanding for the member before. */
  added: boolean;
  /** Identifies the intent until it is released. */
  holder: string;
}

/** Options for {@link Ledger.page}. */
export interface PageOptions {
  from?: LedgerPlace;
  olderThanMs: number;
  limit: number;
}

/** Property values recently written to Kinde, by key; `null` for a removed property. */
export type Written = Readonly<Record<string, string | null>>;

/** Why a job gave up. Holds only our own codes and messages. */
export interface Failure {
  code: string;
  message: string;
  /** Milliseconds since the epoch, by the clock of the process that noted it. */
  failedAt: number;
  attempts: number;
  /** Retries cannot succeed until somebody fixes the cause. */
  final: boolean;
}

/** A member with an outstanding event. */
export interface LedgerEntry {
  member: string;
  /** When its first event that is not reflected was acknowledged: Redis' clock in microseconds. Its position. */
  since: number;
  ageMs: number;
  failure: Failure | undefined;
  /** Whether an event was acknowledged after the failure. */
  newer: boolean;
}

/** One page of members; `next` is `undefined` on the last page. */
export interface LedgerPage {
  entries: LedgerEntry[];
  next: LedgerPlace | undefined;
}

/** A position, and how many members at it to skip: all users of a fan-out share a position. */
export interface LedgerPlace {
  since: number;
  skip: number;
}

/** Returns the keys of a ledger. Users are in the public key `<prefix>:ledger`, fan-outs in an internal one. */
export function ledgerKeys(keys: Keys, name: "users" | "fanouts") {
  return name === "users"
    ? {
        since: keys.ledger,
        latest: keys.ledgerPart("latest"),
        times: keys.ledgerPart("times"),
        failures: keys.ledgerPart("failures"),
      }
    : {
        since: keys.ledgerPart("fanouts"),
        latest: keys.ledgerPart("fanouts:latest"),
        times: keys.ledgerPart("fanouts:times"),
        failures: keys.ledgerPart("fanouts:failures"),
      };
}

/**
 * How long an intent blocks others of its member if its process dies, in milliseconds. Longer than a write takes, waiting
 * for the call budget included.
 */
const intentMs = 30_000;

const defaultSettleMs = 30_000;

/**
 * How long a refresh takes a settled deletion for granted instead of asking Kinde, in milliseconds: a replica of Kinde's
 * that lags could still return the user.
 */
const deletedForMs = 120_000;

const json = z.string().transform((text): unknown => JSON.parse(text));
// Lua tables cannot hold null, so each value is JSON within the JSON.
const writtenSchema = json.pipe(z.record(z.string(), json.pipe(z.string().nullable())));

/** A failure and the ticket of its time. A release before 0.2 stored none: an event then counts as newer. */
interface StoredFailure extends Failure {
  ticket?: number;
}

const storedFailure = storedShape<StoredFailure>(
  1,
  z.object({
    code: z.string(),
    message: z.string(),
    failedAt: z.number(),
    attempts: z.number(),
    final: z.boolean(),
    ticket: z.int().exactOptional(),
  }),
  { migrate: (older) => older },
);

// An unreadable failure stays visible: the member's job did give up.
function parseFailure(text: string): { failure: Failure; ticket: number } {
  const message = "The stored failure is unreadable.";
  const unreadable = { code: "unexpected", message, failedAt: 0, attempts: 0, final: false };
  const { ticket = 0, ...failure }: StoredFailure = storedFailure.parse(text) ?? unreadable;
  return { failure, ticket };
}

// The ticket can follow a mark and be followed by counts: see include/latest-event.lua.
function ticketOf(note: string | null | undefined): number {
  return Number(/\d+/.exec(note ?? "")?.[0] ?? 0);
}

/** Options for {@link createLedger}. */
export interface LedgerOptions {
  redis: RedisClient;
  keys: Keys;
  /** Which of the two. */
  name: "users" | "fanouts";
  now: () => number;
  /** How long Kinde's answers can be older than a change, in milliseconds. Default 30,000. */
  settleMs?: number;
  /** Where to note settled users, if the records are on another primary than the ledger. */
  settledKey?: string | undefined;
}

/** Creates one of the two ledgers over one connection. */
export function createLedger(options: LedgerOptions): Ledger {
  const { redis, keys, name, now, settleMs = defaultSettleMs, settledKey } = options;
  const { since: sinceKey, latest: latestKey, times: timesKey, failures: failuresKey } = ledgerKeys(keys, name);
  const { ticket, ledgerPart } = keys;
  const writtenKeys = (member: string) => ({
    writtenKey: ledgerPart(`written:${member}`),
    expiriesKey: ledgerPart(`written:${member}:expiries`),
  });
  const intentLock = (member: string) => ledgerPart(`intent:${member}`);
  const deletedKey = (member: string) => ledgerPart(`deleted:${member}`);
  const concernsKey = ledgerPart("concerns");
  const confirmKeys = { due: ledgerPart("confirm"), later: ledgerPart("confirm:later") };
  const takenKey = ledgerPart("confirm:taken");
  const clock = () => readClock(redis, { key: sinceKey });

  const begin = (member: string, whole = false) =>
    beginRefresh(redis, {
      ...writtenKeys(member),
      ticket,
      latestKey,
      deletedKey: deletedKey(member),
      absencesKey: absencesKey(keys),
      sinceKey,
      concernsKey,
      confirmKeys,
      failuresKey,
      member,
      deletedForMs,
      settleMs,
      whole,
    });
  const settle = (input: Pick<SettleInput, "member" | "ticket" | "at" | "events" | "settleMs" | "histogram">) =>
    settleMember(redis, {
      ...input,
      sinceKey,
      latestKey,
      timesKey,
      failuresKey,
      deletedKey: deletedKey(input.member),
      confirmKeys,
      concernsKey,
      deletedForMs,
      settledKey,
    });

  /** Settles without counting anything or noting a confirming refresh: there is nothing that could become readable. */
  const forget = async (member: string, ticket: number) => {
    const settled = await settle({
      member,
      ticket,
      at: undefined,
      events: undefined,
      settleMs: undefined,
      histogram: undefined,
    });
    if (name === "users" && settled) {
      await redis
        .multi()
        .zrem(confirmKeys.due, member)
        .hdel(confirmKeys.later, member, `ticket:${member}`, `concern:${member}`)
        .zrem(takenKey, member)
        .exec();
    }
    return settled;
  };

  // Takes the answer of a command with WITHSCORES: member, score, member, score, ...
  const readEntries = async (membersAndScores: readonly string[], micros: number): Promise<LedgerEntry[]> => {
    const members = membersAndScores.filter((_, index) => index % 2 === 0);
    if (members.length === 0) return [];
    const [failures, notes] = await Promise.all([
      redis.hmget(failuresKey, ...members),
      redis.hmget(latestKey, ...members),
    ]);
    return members.map((member, index) => {
      const since = Number(membersAndScores[index * 2 + 1]);
      const failed = failures[index] ? parseFailure(failures[index]) : undefined;
      return {
        member,
        since,
        ageMs: Math.max(0, (micros - since) / 1000),
        failure: failed?.failure,
        newer: failed !== undefined && ticketOf(notes[index]) > failed.ticket,
      };
    });
  };

  return {
    async begin(member, { whole } = { whole: false }) {
      const { written, ...begun } = await begin(member, whole);
      return { ...begun, written: written === null ? {} : writtenSchema.parse(written) };
    },
    async intend(member) {
      const holder = randomUUID();
      const lockKey = intentLock(member);
      const intent = await noteIntent(redis, {
        ticket,
        sinceKey,
        latestKey,
        concernsKey,
        lockKey,
        member,
        holder,
        lockMs: intentMs,
      });
      return intent && { ...intent, holder };
    },
    async release(member, { holder }) {
      await releaseLock(redis, { lockKey: intentLock(member), holder });
    },
    async withdraw(member, intent) {
      if (intent.added)
        await withdrawIntent(redis, { sinceKey, latestKey, concernsKey, member, ticket: intent.ticket });
    },
    async noteWrite(member, intent, properties, forMs) {
      const values = Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, JSON.stringify(value)]));
      const ticketsKey = ledgerPart(`written:${member}:tickets`);
      await noteWrite(redis, { ...writtenKeys(member), ticketsKey, forMs, ticket: intent.ticket, values });
    },
    async settle(member, ticket, { events, at } = {}) {
      const ofUsers = name === "users" ? { settleMs, histogram: readableHistogram(keys, now()) } : undefined;
      const settled = await settle({
        member,
        ticket,
        at,
        events,
        settleMs: ofUsers?.settleMs,
        histogram: ofUsers?.histogram,
      });
      return { pending: !settled };
    },
    takeUnconfirmed: ({ limit, forMs }) =>
      // Ahead by the settle time at most, and the tenth that a confirming refresh waits for a burst.
      takeConfirmations(redis, {
        dueKey: confirmKeys.due,
        takenKey,
        failuresKey,
        limit,
        forMs,
        aheadMs: settleMs * 1.1,
      }),
    async giveBack(members) {
      if (members.length > 0) await redis.zrem(takenKey, ...members);
    },
    async dismiss(member, ticket) {
      return { pending: !(await forget(member, ticket)) };
    },
    async fail(member, failure) {
      const failed = { ...failure, ticket: await drawTicket(redis, { ticket }) };
      await noteFailure(redis, { sinceKey, failuresKey, member, failure: storedFailure.serialize(failed) });
    },
    async failures() {
      const failures = await redis.hgetall(failuresKey);
      return Object.entries(failures)
        .map(([member, text]) => ({ member, failure: parseFailure(text).failure }))
        .sort((a, b) => b.failure.failedAt - a.failure.failedAt);
    },
    async discard(member) {
      // The ticket keeps events that arrive while the member is being discarded.
      const [score, { ticket: last }] = await Promise.all([redis.zscore(sinceKey, member), begin(member)]);
      // Discarded events never become readable, so they do not count.
      await forget(member, last);
      return score !== null;
    },
    clock: async () => Math.floor((await clock()) / 1000),
    async deleted(members) {
      if (members.length === 0) return new Set();
      return new Set(await findDeleted(redis, { latestKey, deletedKeys: members.map(deletedKey), members }));
    },
    async gaveUp(members) {
      if (members.length === 0) return 0;
      return (await redis.hmget(failuresKey, ...members)).filter((failure) => failure !== null).length;
    },
    async latest(member) {
      return ticketOf(await redis.hget(latestKey, member));
    },
    async entry(member) {
      const [score, micros] = await Promise.all([redis.zscore(sinceKey, member), clock()]);
      return score === null ? undefined : (await readEntries([member, score], micros))[0];
    },
    async page({ from = { since: 0, skip: 0 }, olderThanMs, limit }) {
      const { now: micros, membersAndTimes } = await readMembers(redis, {
        key: sinceKey,
        from,
        olderThanMs,
        aheadMs: 0,
        limit,
      });
      return { entries: await readEntries(membersAndTimes, micros), next: placeAfter(membersAndTimes, from, limit) };
    },
    async size() {
      const [size, oldest, failed, micros] = await Promise.all([
        redis.zcard(sinceKey),
        redis.zrange(sinceKey, 0, 0, "WITHSCORES"),
        redis.hlen(failuresKey),
        clock(),
      ]);
      return {
        size,
        oldestAgeMs: Math.max(0, oldest[1] === undefined ? 0 : (micros - Number(oldest[1])) / 1000),
        failed,
      };
    },
  };
}

/** Returns where the next page starts, `undefined` after the last one. */
function placeAfter(membersAndTimes: readonly string[], from: LedgerPlace, limit: number): LedgerPlace | undefined {
  const times = membersAndTimes.filter((_, index) => index % 2 === 1).map(Number);
  const since = times.at(-1);
  if (since === undefined || times.length < limit) return undefined;
  const atLastTime = times.filter((time) => time === since).length;
  return { since, skip: since === from.since ? from.skip + atLastTime : atLastTime };
}
