-- Adds a member to the ledger before something is changed that causes no event: if the process dies in between, a refresh
-- still follows. An intent does not count as an event.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  run id of the Redis process that drew the last ticket
-- KEYS[3]  sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[4]  hash: member -> note on its latest event
-- KEYS[5]  set of members with sign-ins only
-- ARGV[1]  member
-- Answer   { the ticket of the intent, 1 if the member was not in the ledger yet else 0 }

-- @include "ticket"
-- @include "latest-event"

local ticket, now = drawTicket(KEYS[1], KEYS[2])
local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[4], ARGV[1]))
local added = redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1], writeLatest(mark, ticket, events, reflected))
redis.call('SREM', KEYS[5], ARGV[1])
return { ticket, added }
