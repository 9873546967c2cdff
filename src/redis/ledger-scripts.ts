import { z } from "zod";
import type { TicketKeys } from "./keys.ts";
import { booleanAnswer, defineScript, noAnswer } from "./script.ts";

/** Reads the clock of the primary that has the key, in microseconds since the epoch. */
export const readClock = defineScript("read-clock", {
  call: ({ key }: { key: string }) => ({ keys: [key], args: [] }),
  answer: z.string().transform(Number),
});

/** Draws a ticket. */
export const drawTicket = defineScript("draw-ticket", {
  call: ({ ticket }: { ticket: TicketKeys }) => ({ keys: [ticket.counter, ticket.run], args: [] }),
  answer: z.int(),
});

/** Raises the counter above the ticket of a stored record, unless it has reached it. Returns whether it was raised. */
export const raiseTicket = defineScript("raise-ticket", {
  call: ({ ticket, stored }: { ticket: TicketKeys; stored: number }) => ({
    keys: [ticket.counter, ticket.run],
    args: [stored],
  }),
  answer: booleanAnswer,
});

/**
 * What outstanding work of a user concerns, beside account fields and properties: roles and permissions (`grants`), plans,
 * neither or both.
 */
export type Concern = "account" | "grants" | "plans" | "everything";

/** The letters of include/concerns.lua. */
const concernLetters = { everything: "", signIn: "s", account: "a", grants: "g", plans: "p" } as const;

/** Returns how the scripts write a concern. A sign-in alone needs no confirmation. */
export function concernLetter(concern: Concern | "signIn"): string {
  return concernLetters[concern];
}

const concernAnswer = z
  .enum(concernLetters)
  .transform(
    (letter): Concern =>
      letter === "" ? "everything" : letter === "g" ? "grants" : letter === "p" ? "plans" : "account",
  );

/** Input of {@link beginRefresh}. */
export interface BeginInput {
  ticket: TicketKeys;
  latestKey: string;
  deletedKey: string;
  writtenKey: string;
  expiriesKey: string;
  absencesKey: string;
  sinceKey: string;
  concernsKey: string;
  confirmKeys: ConfirmKeys;
  failuresKey: string;
  member: string;
  deletedForMs: number;
  settleMs: number;
  /** Whether refreshes that begin later must not cross this one. */
  whole: boolean;
}

/** Draws a ticket for a refresh and reads what the refresh must know before it fetches. */
export const beginRefresh = defineScript("begin-refresh", {
  call: (input: BeginInput) => ({
    keys: [
      input.ticket.counter,
      input.ticket.run,
      input.latestKey,
      input.deletedKey,
      input.writtenKey,
      input.expiriesKey,
      input.absencesKey,
      input.sinceKey,
      input.concernsKey,
      input.confirmKeys.due,
      input.failuresKey,
      input.confirmKeys.later,
    ],
    args: [input.member, input.deletedForMs, input.settleMs, input.whole ? "1" : ""],
  }),
  answer: z
    .tuple([
      z.int(),
      z.int(),
      booleanAnswer,
      z.int(),
      z.string().nullable(),
      booleanAnswer,
      booleanAnswer,
      concernAnswer,
      booleanAnswer,
    ])
    .transform(([ticket, at, deleted, events, written, absent, outstanding, concern, confirmDue]) => ({
      ticket,
      at,
      deleted,
      events,
      written,
      absent,
      outstanding,
      concern,
      confirmDue,
    })),
});

/** Merges property values into those recently written for a member. The values are JSON. */
export const noteWrite = defineScript("note-write", {
  call: (input: {
    writtenKey: string;
    expiriesKey: string;
    ticketsKey: string;
    forMs: number;
    ticket: number;
    values: Readonly<Record<string, string>>;
  }) => ({
    keys: [input.writtenKey, input.expiriesKey, input.ticketsKey],
    args: [input.forMs, input.ticket, ...Object.entries(input.values).flat()],
  }),
  answer: noAnswer,
});

/** Input of {@link settleMember}. */
export interface SettleInput {
  sinceKey: string;
  latestKey: string;
  timesKey: string;
  failuresKey: string;
  deletedKey: string;
  confirmKeys: ConfirmKeys;
  concernsKey: string;
  member: string;
  ticket: number;
  /** When the refresh drew the ticket, in microseconds, if known. */
  at: number | undefined;
  /** Events the refresh knew of when it began, if known. */
  events: number | undefined;
  deletedForMs: number;
  /** `undefined` if the member needs no confirming refresh. */
  settleMs: number | undefined;
  /** Where to note the member once it is settled; `undefined` for nowhere. Needs `histogram`. */
  settledKey: string | undefined;
  /** Where to count how long the events took to become readable; `undefined` to count nothing. */
  histogram: { totalKey: string; hourKey: string; bounds: string; hourTtlMs: number } | undefined;
}

/** When the next confirming refresh of a member is due, and the one after it. */
export interface ConfirmKeys {
  due: string;
  later: string;
}

/** Removes a member from the ledger, unless a later event is outstanding, and answers whether it did. Notes confirming refreshes. */
export const settleMember = defineScript("settle", {
  call: (input: SettleInput) => {
    const { histogram, confirmKeys, settleMs } = input;
    const keys = [
      input.sinceKey,
      input.latestKey,
      input.failuresKey,
      input.deletedKey,
      confirmKeys.due,
      confirmKeys.later,
      input.concernsKey,
      input.timesKey,
    ];
    const args = [
      input.member,
      input.ticket,
      input.at ?? "",
      input.events ?? "",
      input.deletedForMs,
      settleMs === undefined ? "" : settleMs * 1000,
    ];
    if (histogram === undefined) return { keys, args };
    keys.push(histogram.totalKey, histogram.hourKey);
    if (input.settledKey !== undefined) keys.push(input.settledKey);
    args.push(histogram.bounds, histogram.hourTtlMs);
    return { keys, args };
  },
  answer: booleanAnswer,
});

/** Input of {@link takeConfirmations}. Durations are in milliseconds. */
export interface TakeConfirmationsInput {
  dueKey: string;
  takenKey: string;
  failuresKey: string;
  limit: number;
  forMs: number;
  /** How far ahead of Redis' clock a due time can be. */
  aheadMs: number;
}

/** Takes members whose confirming refresh is due. */
export const takeConfirmations = defineScript("take-confirmations", {
  call: (input: TakeConfirmationsInput) => ({
    keys: [input.dueKey, input.takenKey, input.failuresKey],
    args: [input.limit, Math.round(input.forMs * 1000), Math.round(input.aheadMs * 1000)],
  }),
  answer: z
    .tuple([z.int().min(-1)], z.string())
    .transform(([nextInMs, ...members]) => ({ members, nextInMs: nextInMs === -1 ? undefined : nextInMs })),
});

/** Stores why a member's job gave up. The failure is JSON. */
export const noteFailure = defineScript("note-failure", {
  call: (input: { sinceKey: string; failuresKey: string; member: string; failure: string }) => ({
    keys: [input.sinceKey, input.failuresKey],
    args: [input.member, input.failure],
  }),
  answer: noAnswer,
});

/** Finds the members whose deletion was acknowledged. `deletedKeys` holds one key per member. */
export const findDeleted = defineScript("find-deleted", {
  call: (input: { latestKey: string; deletedKeys: readonly string[]; members: readonly string[] }) => ({
    keys: [input.latestKey, ...input.deletedKeys],
    args: input.members,
  }),
  answer: z.array(z.string()),
});

/** Input of {@link readMembers}. Durations are in milliseconds. */
export interface ReadMembersInput {
  key: string;
  from: { since: number; skip: number };
  olderThanMs: number;
  /** How far ahead of Redis' clock a time can be. */
  aheadMs: number;
  limit: number;
}

/** Reads members of a sorted set of times in microseconds, earliest first, and Redis' clock. */
export const readMembers = defineScript("read-members", {
  call: ({ key, from, olderThanMs, aheadMs, limit }: ReadMembersInput) => ({
    keys: [key],
    args: [from.since, from.skip, Math.round(olderThanMs * 1000), Math.round(aheadMs * 1000), limit],
  }),
  answer: z.array(z.string()).transform(([now, ...membersAndTimes]) => ({ now: Number(now), membersAndTimes })),
});

/** Adds a member to the ledger before something is changed that causes no event. */
export const noteIntent = defineScript("note-intent", {
  call: (input: {
    ticket: TicketKeys;
    sinceKey: string;
    latestKey: string;
    concernsKey: string;
    lockKey: string;
    member: string;
    holder: string;
    lockMs: number;
  }) => ({
    keys: [input.ticket.counter, input.ticket.run, input.sinceKey, input.latestKey, input.concernsKey, input.lockKey],
    args: [input.member, input.holder, input.lockMs],
  }),
  answer: z
    .tuple([z.int(), booleanAnswer])
    .transform(([ticket, added]) => (ticket === 0 ? undefined : { ticket, added })),
});

/** Removes a member if nothing but the given intent is outstanding. */
export const withdrawIntent = defineScript("withdraw-intent", {
  call: (input: { sinceKey: string; latestKey: string; concernsKey: string; member: string; ticket: number }) => ({
    keys: [input.sinceKey, input.latestKey, input.concernsKey],
    args: [input.member, input.ticket],
  }),
  answer: noAnswer,
});
