import type { Redis } from "ioredis";
import { z } from "zod";
import { absencesKey } from "./absences.ts";
import type { Keys } from "./keys.ts";
import {
  beginRefresh,
  drawTicket,
  findDeleted,
  noteFailure,
  noteWrite,
  type SettleInput,
  settleMember,
} from "./ledger-scripts.ts";
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
   * `events` is the number of events acknowledged since the member entered the ledger: those the refresh will reflect.
   * `deleted` says whether the member's deletion was acknowledged, `absent` whether an earlier refresh noted an absence.
   */
  begin(member: string): Promise<{
    ticket: number;
    events: number;
    deleted: boolean;
    written: Written;
    absent: boolean;
  }>;
  /**
   * Remembers property values that Kinde just accepted, so that no refresh trusts an older answer from Kinde meanwhile.
   * Must be called after the write and before the refresh that makes it visible.
   */
  noteWrite(member: string, properties: Written, forMs: number): Promise<void>;
  /**
   * Removes the member, unless an event was acknowledged after the ticket was drawn. Must be called after the commit.
   * For users, counts how long the reflected events took to become readable.
   *
   * @param events the number `begin` returned. Without it, events before the ticket are counted when the member is
   *   removed.
   */
  settle(member: string, ticket: number, events?: number): Promise<"settled" | "pending">;
  /**
   * Removes the member like {@link Ledger.settle}, but counts nothing: its events cannot become readable, because Kinde
   * does not know the user.
   */
  dismiss(member: string, ticket: number): Promise<"settled" | "pending">;
  /**
   * Stores why the member's job gave up. Adds the member to the ledger if no event did: it stays until a refresh
   * settles it or an operator discards it.
   */
  fail(member: string, failure: Failure): Promise<void>;
  /** Returns all failures, most recent first. */
  failures(): Promise<{ member: string; failure: Failure }[]>;
  /** Removes the member unconditionally. Returns whether it was in the ledger. */
  discard(member: string): Promise<boolean>;
  /** Draws a ticket for a fetch that concerns no member in particular. */
  draw(): Promise<number>;
  /** Returns the members whose deletion was acknowledged, whether outstanding or recently settled. */
  deleted(members: readonly string[]): Promise<Set<string>>;
  /** Counts the members whose job gave up. */
  gaveUp(members: readonly string[]): Promise<number>;
  /** Returns the ticket of the member's latest outstanding event, 0 without one. */
  latest(member: string): Promise<number>;
  /** Returns the member's entry, or `undefined` if nothing is outstanding. */
  entry(member: string): Promise<LedgerEntry | undefined>;
  /** Lists members of a minimum age, oldest first. */
  page(options: { from?: LedgerPlace; olderThanMs: number; limit: number }): Promise<LedgerPage>;
  /** Returns the backlog: the number of members, the age of the oldest and the number of failures. */
  size(): Promise<{ size: number; oldestAgeMs: number; failed: number }>;
}

/** Property values recently written to Kinde, by key; `null` for a removed property. */
export type Written = Readonly<Record<string, string | null>>;

/** Why a job gave up. Holds only our own codes and messages. */
export interface Failure {
  code: string;
  message: string;
  /** Milliseconds since the epoch. */
  failedAt: number;
  attempts: number;
  /** Retries cannot succeed until somebody fixes the cause. */
  final: boolean;
}

/** A member with an outstanding event. */
export interface LedgerEntry {
  member: string;
  /** Ticket of its first event that is not reflected: its position, and the event's time in microseconds. */
  since: number;
  ageMs: number;
  /** Ticket of its latest event, 0 without one. */
  latest: number;
  failure: Failure | undefined;
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
    ? { since: keys.ledger, latest: keys.ledgerPart("latest"), failures: keys.ledgerPart("failures") }
    : {
        since: keys.ledgerPart("fanouts"),
        latest: keys.ledgerPart("fanouts:latest"),
        failures: keys.ledgerPart("fanouts:failures"),
      };
}

/**
 * How long a refresh takes a settled deletion for granted instead of asking Kinde, in milliseconds: a replica of Kinde's
 * that lags could still return the user.
 */
const deletedForMs = 120_000;

const json = z.string().transform((text): unknown => JSON.parse(text));
// Lua tables cannot hold null, so each value is JSON within the JSON.
const writtenSchema = json.pipe(z.record(z.string(), json.pipe(z.string().nullable())));

const storedFailure = storedShape<Failure>(
  1,
  z.object({
    code: z.string(),
    message: z.string(),
    failedAt: z.number(),
    attempts: z.number(),
    final: z.boolean(),
  }),
  { migrate: (older) => older },
);

// An unreadable failure stays visible: the member's job did give up.
function parseFailure(text: string): Failure {
  const unreadable = "The stored failure is unreadable.";
  return (
    storedFailure.parse(text) ?? { code: "unexpected", message: unreadable, failedAt: 0, attempts: 0, final: false }
  );
}

// The ticket can follow a mark and be followed by counts: see include/latest-event.lua.
function ticketOf(note: string | null | undefined): number {
  return Number(/\d+/.exec(note ?? "")?.[0] ?? 0);
}

/** Creates one of the two ledgers over one connection. */
export function createLedger(redis: Redis, keys: Keys, name: "users" | "fanouts", now: () => number): Ledger {
  const { since: sinceKey, latest: latestKey, failures: failuresKey } = ledgerKeys(keys, name);
  const ticketKey = keys.ledgerPart("ticket");
  const writtenKey = (member: string) => keys.ledgerPart(`written:${member}`);
  const deletedKey = (member: string) => keys.ledgerPart(`deleted:${member}`);

  const begin = (member: string) =>
    beginRefresh(redis, {
      ticketKey,
      latestKey,
      writtenKey: writtenKey(member),
      deletedKey: deletedKey(member),
      absencesKey: absencesKey(keys),
      member,
    });
  const settle = (input: Pick<SettleInput, "member" | "ticket" | "events" | "histogram">) =>
    settleMember(redis, {
      ...input,
      sinceKey,
      latestKey,
      failuresKey,
      deletedKey: deletedKey(input.member),
      deletedForMs,
    });

  // Takes the answer of a command with WITHSCORES: member, score, member, score, ...
  const readEntries = async (membersAndScores: string[]): Promise<LedgerEntry[]> => {
    const members = membersAndScores.filter((_, index) => index % 2 === 0);
    if (members.length === 0) return [];
    const [failures, notes] = await Promise.all([
      redis.hmget(failuresKey, ...members),
      redis.hmget(latestKey, ...members),
    ]);
    return members.map((member, index) => {
      const since = Number(membersAndScores[index * 2 + 1]);
      const failure = failures[index];
      return {
        member,
        since,
        ageMs: now() - since / 1000,
        latest: ticketOf(notes[index]),
        failure: failure ? parseFailure(failure) : undefined,
      };
    });
  };

  return {
    async begin(member) {
      const { written, ...begun } = await begin(member);
      return { ...begun, written: written === null ? {} : writtenSchema.parse(written) };
    },
    async noteWrite(member, properties, forMs) {
      const values = Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, JSON.stringify(value)]));
      await noteWrite(redis, { writtenKey: writtenKey(member), forMs, values });
    },
    async settle(member, ticket, events) {
      const histogram = name === "users" ? readableHistogram(keys, now()) : undefined;
      return (await settle({ member, ticket, events, histogram })) ? "settled" : "pending";
    },
    async dismiss(member, ticket) {
      const settled = await settle({ member, ticket, events: undefined, histogram: undefined });
      return settled ? "settled" : "pending";
    },
    async fail(member, failure) {
      await noteFailure(redis, { sinceKey, failuresKey, ticketKey, member, failure: storedFailure.serialize(failure) });
    },
    async failures() {
      const failures = await redis.hgetall(failuresKey);
      return Object.entries(failures)
        .map(([member, failure]) => ({ member, failure: parseFailure(failure) }))
        .sort((a, b) => b.failure.failedAt - a.failure.failedAt);
    },
    async discard(member) {
      // The ticket keeps events that arrive while the member is being discarded.
      const [score, { ticket }] = await Promise.all([redis.zscore(sinceKey, member), begin(member)]);
      // Discarded events never become readable, so they do not count.
      await settle({ member, ticket, events: undefined, histogram: undefined });
      return score !== null;
    },
    draw: () => drawTicket(redis, { ticketKey }),
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
      const score = await redis.zscore(sinceKey, member);
      return score === null ? undefined : (await readEntries([member, score]))[0];
    },
    async page({ from = { since: 0, skip: 0 }, olderThanMs, limit }) {
      const youngest = (now() - olderThanMs) * 1000;
      const entries = await readEntries(
        await redis.zrangebyscore(sinceKey, from.since, youngest, "WITHSCORES", "LIMIT", from.skip, limit),
      );
      const last = entries.at(-1);
      if (last === undefined || entries.length < limit) return { entries, next: undefined };
      const atLastPosition = entries.filter(({ since }) => since === last.since).length;
      const skip = last.since === from.since ? from.skip + atLastPosition : atLastPosition;
      return { entries, next: { since: last.since, skip } };
    },
    async size() {
      const [size, oldest, failed] = await Promise.all([
        redis.zcard(sinceKey),
        redis.zrange(sinceKey, 0, 0, "WITHSCORES"),
        redis.hlen(failuresKey),
      ]);
      return { size, oldestAgeMs: oldest[1] === undefined ? 0 : Math.max(0, now() - Number(oldest[1]) / 1000), failed };
    },
  };
}
