import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys, TicketKeys } from "../redis/keys.ts";
import { ledgerKeys } from "../redis/ledger.ts";
import { type Concern, concernLetter } from "../redis/ledger-scripts.ts";
import { defineScript } from "../redis/script.ts";
import type { FanoutSubject, RefreshQueues } from "./queues.ts";

/** Acknowledges an event that concerns many users: adds them to the ledger, then to the bulk queue. */
export type AcknowledgeUsers = (userIds: readonly string[], event: EventOfMany) => Promise<void>;

/** An event that concerns many users. */
export interface EventOfMany {
  concern: Concern;
  /** When it was acknowledged, as in the ledger of fan-outs: the users have waited as long. Default: now. */
  since?: number | undefined;
}

/** Acknowledges a change that concerns all users of a subject: adds it to the ledger of fan-outs, then to the queue. */
export type AcknowledgeFanout = (subject: FanoutSubject) => Promise<void>;

/** Creates the function that acknowledges changes which Kinde sent no event for. */
export function createAcknowledgeFanout({
  redis,
  keys,
  queues,
}: Pick<AcknowledgeUsersOptions, "redis" | "keys"> & {
  queues: Pick<RefreshQueues, "enqueueFanouts">;
}): AcknowledgeFanout {
  const fanouts = ledgerKeys(keys, "fanouts");
  const input = {
    ticket: keys.ticket,
    sinceKey: fanouts.since,
    latestKey: fanouts.latest,
    concernsKey: keys.ledgerPart("concerns"),
    timesKey: undefined,
  };
  return async (subject) => {
    await acknowledge(redis, { ...input, concern: "everything", members: [subject] });
    await queues.enqueueFanouts([subject]);
  };
}

/** Dependencies of {@link createAcknowledgeUsers}. */
export interface AcknowledgeUsersOptions {
  redis: RedisClient;
  keys: Keys;
  queues: Pick<RefreshQueues, "enqueueBulk">;
}

interface AcknowledgeInput extends EventOfMany {
  ticket: TicketKeys;
  sinceKey: string;
  latestKey: string;
  concernsKey: string;
  /** `undefined` for fan-outs, which are not counted as readable. */
  timesKey: string | undefined;
  members: readonly string[];
}

const acknowledge = defineScript("acknowledge-users", {
  call: ({ ticket, sinceKey, latestKey, concernsKey, timesKey, concern, since, members }: AcknowledgeInput) => ({
    keys: [ticket.counter, ticket.run, sinceKey, latestKey, concernsKey, ...(timesKey === undefined ? [] : [timesKey])],
    args: [since ?? "", concernLetter(concern), ...members],
  }),
  answer: z.int(),
});

/** Creates the function that acknowledges events for many users. */
export function createAcknowledgeUsers({ redis, keys, queues }: AcknowledgeUsersOptions): AcknowledgeUsers {
  const users = ledgerKeys(keys, "users");
  const input = {
    ticket: keys.ticket,
    sinceKey: users.since,
    latestKey: users.latest,
    concernsKey: keys.ledgerPart("concerns"),
    timesKey: users.times,
  };
  return async (userIds, event) => {
    if (userIds.length === 0) return;
    const lastTicket = await acknowledge(redis, { ...input, ...event, members: userIds });
    await queues.enqueueBulk(userIds, lastTicket);
  };
}
