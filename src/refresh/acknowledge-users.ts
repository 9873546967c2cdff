import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import { drawTicketLua, latestLua, ledgerKeys } from "../redis/ledger.ts";
import { defineScript } from "../redis/script.ts";
import type { RefreshQueues } from "./queues.ts";

/**
 * Takes down that an event concerns these users, and has them refreshed when there is room.
 *
 * @param since position of the event in the ledger of fan-outs: the users have waited for as long as it has
 */
export type AcknowledgeUsers = (userIds: readonly string[], since?: number) => Promise<void>;

/** What that needs. */
export interface AcknowledgeUsersOptions {
  redis: Redis;
  keys: Keys;
  queues: Pick<RefreshQueues, "enqueueBulk">;
}

const ledgerScript = defineScript(`${drawTicketLua}${latestLua}
local ticket = 0
for i = 2, #ARGV do
  local member = ARGV[i]
  ticket = draw(KEYS[1])
  local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[3], member))
  redis.call('ZADD', KEYS[2], 'LT', ARGV[1] == '' and ticket or ARGV[1], member)
  redis.call('HSET', KEYS[3], member, writeLatest(mark, ticket, events + 1, reflected))
end
return ticket
`);

/** First the ledger, then the bulk queue. */
export function createAcknowledgeUsers({ redis, keys, queues }: AcknowledgeUsersOptions): AcknowledgeUsers {
  const { since, latest } = ledgerKeys(keys, "users");
  return async (userIds, position) => {
    if (userIds.length === 0) return;
    const names = [keys.ledgerPart("ticket"), since, latest];
    const ticket = await ledgerScript(redis, names, [position ?? "", ...userIds]);
    await queues.enqueueBulk(userIds, Number(ticket));
  };
}
