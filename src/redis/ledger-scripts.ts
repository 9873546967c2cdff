import { z } from "zod";
import { booleanAnswer, defineScript, noAnswer } from "./script.ts";

/** Draws a ticket. */
export const drawTicket = defineScript("draw-ticket", {
  call: ({ ticketKey }: { ticketKey: string }) => ({ keys: [ticketKey], args: [] }),
  answer: z.int(),
});

/** Draws a ticket for a refresh and reads what the refresh must know before it fetches. */
export const beginRefresh = defineScript("begin-refresh", {
  call: (input: {
    ticketKey: string;
    latestKey: string;
    writtenKey: string;
    deletedKey: string;
    absencesKey: string;
    member: string;
  }) => ({
    keys: [input.ticketKey, input.latestKey, input.writtenKey, input.deletedKey, input.absencesKey],
    args: [input.member],
  }),
  answer: z
    .tuple([z.int(), booleanAnswer, z.int(), z.string().nullable(), booleanAnswer])
    .transform(([ticket, deleted, events, written, absent]) => ({ ticket, deleted, events, written, absent })),
});

/** Merges property values into those recently written for a member. The values are JSON. */
export const noteWrite = defineScript("note-write", {
  call: (input: { writtenKey: string; forMs: number; values: Readonly<Record<string, string>> }) => ({
    keys: [input.writtenKey],
    args: [input.forMs, ...Object.entries(input.values).flat()],
  }),
  answer: noAnswer,
});

/** Input of {@link settleMember}. */
export interface SettleInput {
  sinceKey: string;
  latestKey: string;
  failuresKey: string;
  deletedKey: string;
  member: string;
  ticket: number;
  /** Events the refresh knew of when it began, if known. */
  events: number | undefined;
  deletedForMs: number;
  /** Where to count how long the events took to become readable; `undefined` to count nothing. */
  histogram: { totalKey: string; hourKey: string; bounds: string; hourTtlMs: number } | undefined;
}

/** Removes a member from the ledger. Answers `false` if a later event is outstanding. */
export const settleMember = defineScript("settle", {
  call: (input: SettleInput) => {
    const { histogram } = input;
    const keys = [input.sinceKey, input.latestKey, input.failuresKey, input.deletedKey];
    const args = [input.member, input.ticket, input.events ?? "", input.deletedForMs];
    if (histogram === undefined) return { keys, args };
    keys.push(histogram.totalKey, histogram.hourKey);
    args.push(histogram.bounds, histogram.hourTtlMs);
    return { keys, args };
  },
  answer: booleanAnswer,
});

/** Stores why a member's job gave up. The failure is JSON. */
export const noteFailure = defineScript("note-failure", {
  call: (input: { sinceKey: string; failuresKey: string; ticketKey: string; member: string; failure: string }) => ({
    keys: [input.sinceKey, input.failuresKey, input.ticketKey],
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
