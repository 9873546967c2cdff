-- Removes a member from the ledger if nothing but the given intent is outstanding.
--
-- KEYS[1]  sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[2]  hash: member -> note on its latest event
-- KEYS[3]  hash: member -> what its outstanding work concerns; `intent:<member>` -> ticket of an outstanding intent
-- ARGV[1]  member
-- ARGV[2]  ticket of the intent
-- Answer   none

-- @include "latest-event"
-- @include "concerns"

local _, latest, events = readLatest(redis.call('HGET', KEYS[2], ARGV[1]))
if latest ~= tonumber(ARGV[2]) or events > 0 then return end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1], intentField(ARGV[1]))
