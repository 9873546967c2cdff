-- Adds a member to the ledger before something is changed that causes no event: if the process dies in between, a refresh
-- still follows. An intent does not count as an event.
--
-- One intent of a member at a time: of two writes at once, nobody could tell which value Kinde has in the end.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  run id of the Redis process that drew the last ticket
-- KEYS[3]  sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[4]  hash: member -> note on its latest event
-- KEYS[5]  hash: member -> what its outstanding work concerns; `intent:<member>` -> ticket of an outstanding intent
-- KEYS[6]  lock of the member's writes
-- ARGV[1]  member
-- ARGV[2]  holder of KEYS[6]
-- ARGV[3]  lifetime of KEYS[6] in milliseconds
-- Answer   { the ticket of the intent, or 0 if another intent of the member is outstanding,
--          1 if the member was not in the ledger yet else 0 }

-- @include "ticket"
-- @include "latest-event"
-- @include "lock"
-- @include "concerns"

if not takeLock(KEYS[6], ARGV[2], ARGV[3]) then return { 0, 0 } end
local ticket, now = drawTicket(KEYS[1], KEYS[2])
local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[4], ARGV[1]))
local added = redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1], writeLatest(mark, ticket, events, reflected))
local concern = 'a'
if added == 0 then concern = join(concern, readConcern(KEYS[5], ARGV[1], events)) end
writeConcern(KEYS[5], ARGV[1], concern, events)
redis.call('HSET', KEYS[5], intentField(ARGV[1]), string.format('%.0f', ticket))
return { ticket, added }
