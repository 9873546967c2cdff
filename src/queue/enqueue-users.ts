import type { Redis } from "ioredis";
import type { Keys } from "../cache/keys.ts";
import { defineScript } from "../cache/script.ts";
import { drawTicketLua, ledgerKeys } from "./ledger.ts";
import type { Queues } from "./queues.ts";

/** Has many users refreshed when there is room. */
export type EnqueueUsers = (userIds: readonly string[]) => Promise<void>;

/** What enqueueing needs. */
export interface EnqueueUsersOptions {
  redis: Redis;
  keys: Keys;
  queues: Pick<Queues, "enqueueBulk">;
}

const ledgerScript = defineScript(`${drawTicketLua}
local ticket = 0
for _, member in ipairs(ARGV) do
  ticket = draw(KEYS[1])
  redis.call('ZADD', KEYS[2], 'NX', ticket, member)
  local mark = string.sub(redis.call('HGET', KEYS[3], member) or '', 1, 1) == 'd' and 'd' or ''
  redis.call('HSET', KEYS[3], member, mark .. string.format('%.0f', ticket))
end
return ticket
`);

const ticketScript = defineScript(`${drawTicketLua}
local ticket = draw(KEYS[1])
return ticket
`);

/** Users an acknowledged event concerns: first the ledger, then the bulk queue. */
export function createAcknowledgeUsers({ redis, keys, queues }: EnqueueUsersOptions): EnqueueUsers {
  const { since, latest } = ledgerKeys(keys, "users");
  return async (userIds) => {
    if (userIds.length === 0) return;
    const ticket = await ledgerScript(redis, [keys.ledgerPart("ticket"), since, latest], userIds);
    await queues.enqueueBulk(userIds, Number(ticket));
  };
}

/** Users an operator wants refreshed: no event, so the queue alone. */
export function createReprocessUsers({ redis, keys, queues }: EnqueueUsersOptions): EnqueueUsers {
  return async (userIds) => {
    if (userIds.length === 0) return;
    await queues.enqueueBulk(userIds, Number(await ticketScript(redis, [keys.ledgerPart("ticket")], [])));
  };
}
