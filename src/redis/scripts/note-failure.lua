-- Stores why a member's job gave up. Adds the member to the ledger if no event did, so that the failure stays visible.
--
-- KEYS[1]  sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[2]  hash: member -> failure
-- ARGV[1]  member
-- ARGV[2]  failure (JSON)
-- Answer   none

-- @include "clock"

redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', nowMicros()), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
