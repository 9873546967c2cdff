import type { Redis } from "ioredis";
import type { Keys } from "../cache/keys.ts";
import { defineScript } from "../cache/script.ts";
import { drawTicketLua, ledgerKeys } from "./ledger.ts";
import type { Queues } from "./queues.ts";

/** Takes down that an event concerns these users, and has them refreshed when there is room. */
export type AcknowledgeUsers = (userIds: readonly string[]) => Promise<void>;

/** What that needs. */
export interface AcknowledgeUsersOptions {
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

/** First the ledger, then the bulk queue. */
export function createAcknowledgeUsers({ redis, keys, queues }: AcknowledgeUsersOptions): AcknowledgeUsers {
  const { since, latest } = ledgerKeys(keys, "users");
  return async (userIds) => {
    if (userIds.length === 0) return;
    const ticket = await ledgerScript(redis, [keys.ledgerPart("ticket"), since, latest], userIds);
    await queues.enqueueBulk(userIds, Number(ticket));
  };
}
